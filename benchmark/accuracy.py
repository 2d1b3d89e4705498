# SPDX-License-Identifier: Apache-2.0
"""
How good the masks are, and what they cost the link: settings x clips x seeds.

    scripts/in_env.sh python benchmark/accuracy.py FOLDER --labels FOLDER
        --settings before,ours --seeds 0,1,2 --out accuracy_out --json accuracy.json

FOLDER has clips, ``--labels`` a folder of label maps for each, as ``shadowtutor evaluate`` takes
them. Every run is one of its runs in this process: updates come one frame late (or as the setting
says), nothing is timed, and the same command gives the same numbers. Runs go to ``--processes``
processes of one thread each; those that ``--out`` has are not computed again. A seed is that of
the first student's random weights; with ``--checkpoint`` all seeds give one result.

A row of ``rows`` is one run: ``clip``, ``setting``, ``seed``, ``miou`` and
``miou_first_quarter`` (percent, means over all frames and over the first quarter of them),
``kbps`` (payload both ways, every update counted, at the clip's own rate; 10^3 bits),
``key_frame_ratio`` (percent of the frames) and ``steps`` (per key frame).

The table has means over clips, then over seeds; +- is the standard error of that mean over the
seeds. Clips are no sample of anything, so their scatter is not in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
import json
import math
import multiprocessing
import os
from pathlib import Path
import statistics

import torch
from tqdm import tqdm

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.evaluate import evaluate, Evaluation
from shadowtutor_ros.evaluation.record import FrameRecord
from shadowtutor_ros.evaluation.setting import load_settings
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.factory import create_teacher

VIDEOS = ('.mp4', '.avi', '.mkv', '.mov', '.webm')


class AccuracyError(ShadowTutorError):
    """There is nothing to measure."""


@dataclass(frozen=True)
class Job:
    """One run: a clip, a setting and a seed."""

    clip: Path
    setting: str
    seed: int


@dataclass(frozen=True)
class Row:
    """What one run came to."""

    clip: str
    setting: str
    seed: int
    miou: float
    miou_first_quarter: float
    kbps: float
    key_frame_ratio: float
    steps: float


@dataclass(frozen=True)
class Place:
    """What all runs have in common."""

    labels: Path
    out: Path
    frames: int | None
    checkpoint: Path | None
    classes: str
    device: str


def clips_of(folder: Path) -> list[Path]:
    """Return the folder's clips by name; raise AccuracyError if it has none."""
    clips = sorted(path for path in folder.glob('*') if path.suffix.lower() in VIDEOS)
    if not clips:
        raise AccuracyError(f'{folder}: expected videos ({", ".join(VIDEOS)}), found none')
    return clips


def run(place: Place, job: Job) -> Row:
    """Evaluate one run, or read it if it was."""
    classes = ClassSet.load(config_file(place.classes, 'classes'))
    info = StudentInfo(classes.names, classes.colours)
    first = (Student.random(info, job.seed, place.device) if place.checkpoint is None
             else load_checkpoint(place.checkpoint, info, place.device))
    clip = Clip(job.clip, place.frames)
    (setting,) = load_settings([job.setting])
    out = place.out / f'seed-{job.seed}' / setting.name / job.clip.stem
    out.mkdir(parents=True, exist_ok=True)
    results = evaluate(Evaluation(
        [clip], [setting], classes, lambda setting: first,
        lambda clip: create_teacher(
            'labels', classes, weights=str(place.labels / clip.path.stem), fps=clip.fps), out))
    (summary,) = results.summaries[clip.name].values()
    (done,) = results.runs[clip.name].values()
    return Row(job.clip.stem, setting.name, job.seed, summary.miou,
               100 * first_quarter(done.records), 1e3 * summary.mbps, summary.key_frame_ratio,
               summary.steps_per_key_frame)


def first_quarter(records: Sequence[FrameRecord]) -> float:
    """Return the mean mIoU, 0-1, of the first quarter of the frames, one at least."""
    count = max(1, len(records) // 4)
    return statistics.fmean(record.miou for record in records[:count])


def measure(place: Place, jobs: Sequence[Job], processes: int) -> list[Row]:
    """Run all jobs, in their order."""
    os.environ['TQDM_DISABLE'] = '1'  # of the processes: every run has bars of its own
    context = multiprocessing.get_context('spawn')
    with (ProcessPoolExecutor(processes, context, torch.set_num_threads, (1,)) as pool,
          tqdm(total=len(jobs), unit='run', disable=False) as bar):
        futures = [pool.submit(run, place, job) for job in jobs]
        for future in futures:
            future.add_done_callback(lambda done: bar.update())
        return [future.result() for future in futures]


@dataclass(frozen=True)
class Mean:
    """Means over clips and then seeds; ``error`` is the standard error of ``miou`` over seeds."""

    setting: str
    miou: float
    error: float
    miou_first_quarter: float
    kbps: float
    key_frame_ratio: float
    steps: float


def means(rows: Sequence[Row]) -> list[Mean]:
    """Return a mean for every setting, in the order in which they come."""
    result = []
    for setting in dict.fromkeys(row.setting for row in rows):
        own = [row for row in rows if row.setting == setting]
        by_seed = [statistics.fmean(row.miou for row in own if row.seed == seed)
                   for seed in sorted({row.seed for row in own})]
        error = (statistics.stdev(by_seed) / math.sqrt(len(by_seed)) if len(by_seed) > 1
                 else math.nan)

        def mean(of: Callable[[Row], float], own: Sequence[Row] = own) -> float:
            return statistics.fmean(map(of, own))
        result.append(Mean(
            setting, mean(lambda row: row.miou), error, mean(lambda row: row.miou_first_quarter),
            mean(lambda row: row.kbps), mean(lambda row: row.key_frame_ratio),
            mean(lambda row: row.steps)))
    return result


def table(rows: Sequence[Row]) -> str:
    """Return the means as a table in Markdown."""
    lines = ['| setting | mIoU % | +- | first quarter % | kbit/s | key frames % | steps |',
             '|---|--:|--:|--:|--:|--:|--:|']
    for mean in means(rows):
        error = '' if math.isnan(mean.error) else f'{mean.error:.1f}'
        lines.append(
            f'| {mean.setting} | {mean.miou:.1f} | {error} | {mean.miou_first_quarter:.1f} | '
            f'{mean.kbps:.0f} | {mean.key_frame_ratio:.1f} | {mean.steps:.1f} |')
    return '\n'.join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw mIoU over kbit/s, a point for every setting."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout='constrained')
    for mean in means(rows):
        axes.errorbar(mean.kbps, mean.miou, None if math.isnan(mean.error) else mean.error,
                      fmt='o', capsize=3)
        axes.annotate(mean.setting, (mean.kbps, mean.miou), xytext=(5, 5),
                      textcoords='offset points')
    axes.set_xlabel('payload both ways, kbit/s')
    axes.set_ylabel('mIoU against the teacher, %')
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--labels', type=Path, required=True, metavar='FOLDER')
    parser.add_argument('--settings', default='ours', metavar='A,B,...',
                        help='of config/evaluation, or YAML files (default %(default)s)')
    parser.add_argument('--clips', default='', metavar='A,B,...', help='names; default: all')
    parser.add_argument('--seeds', default='0', metavar='0,1,...')
    parser.add_argument('--frames', type=int, metavar='N', help='of each clip at most')
    parser.add_argument('--checkpoint', type=Path, metavar='FILE',
                        help='first student; default: random weights')
    parser.add_argument('--classes', default='lvs8')
    parser.add_argument('--device', default='cpu', help="torch's; results differ by rounding")
    parser.add_argument('--processes', type=int, default=os.cpu_count() or 1, metavar='N')
    parser.add_argument('--out', type=Path, default=Path('accuracy_out'), metavar='FOLDER')
    parser.add_argument('--json', type=Path, metavar='FILE')
    parser.add_argument('--plot', type=Path, metavar='FILE')
    arguments = parser.parse_args()
    clips = clips_of(arguments.folder)
    if arguments.clips:
        wanted = arguments.clips.split(',')
        if unknown := set(wanted) - {clip.stem for clip in clips}:
            raise AccuracyError(f'--clips: {", ".join(sorted(unknown))} not in '
                                + ', '.join(clip.stem for clip in clips))
        clips = [clip for clip in clips if clip.stem in wanted]
    jobs = [Job(clip, setting, int(seed)) for setting in arguments.settings.split(',')
            for seed in arguments.seeds.split(',') for clip in clips]
    place = Place(arguments.labels, arguments.out, arguments.frames, arguments.checkpoint,
                  arguments.classes, arguments.device)
    rows = measure(place, jobs, arguments.processes)
    print(table(rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(
            {'rows': [asdict(row) for row in rows]}, indent=2) + '\n', encoding='utf-8')
    if arguments.plot is not None:
        plot(rows, arguments.plot)


if __name__ == '__main__':
    main()
