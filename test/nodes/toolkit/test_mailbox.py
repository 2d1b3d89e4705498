# SPDX-License-Identifier: Apache-2.0
import threading

from shadowtutor_ros.nodes.toolkit.mailbox import Mailbox


def test_the_newest_item_wins_and_the_others_are_counted() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for item in (1, 2, 3):
        mailbox.put(item)
    assert mailbox.take() == 3
    assert mailbox.dropped == 2
    mailbox.put(4)
    assert mailbox.take() == 4
    assert mailbox.dropped == 2


def test_closing_lets_a_waiting_reader_go() -> None:
    mailbox: Mailbox[int] = Mailbox()
    taken: list[int | None] = []
    reader = threading.Thread(target=lambda: taken.append(mailbox.take()))
    reader.start()
    mailbox.close()
    reader.join(10)
    assert taken == [None]
    mailbox.put(1)
    assert mailbox.take() is None


def test_a_reopened_mailbox_has_nothing_of_before() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1)
    mailbox.close()
    mailbox.put(2)
    mailbox.reopen()
    mailbox.put(3)
    assert mailbox.take() == 3
    assert mailbox.dropped == 0
