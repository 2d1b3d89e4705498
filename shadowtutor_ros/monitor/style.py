# SPDX-License-Identifier: Apache-2.0
"""The page's style: one column on a phone, cards side by side on a screen, light or dark."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f4f4f1; --card: #ffffff; --line: #e0dfda; --text: #1c1c1a; --soft: #6b6a64;
  --good: #0a7d33; --warn: #9a6200; --bad: #c22f2f; --silent: #6b6a64; --load: #3987e5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #141413; --card: #1f1f1d; --line: #343431; --text: #ededea; --soft: #a09e96;
    --good: #4bb96e; --warn: #e0a63f; --bad: #f07a72; --silent: #a09e96;
  }
}
html, body, body.body--dark, body.body--light { background: var(--page); color: var(--text); }
body { font: 14px/1.4 system-ui, sans-serif; margin: 0; }
.nicegui-content {
  box-sizing: border-box; display: block; width: 100%; max-width: 1480px; margin: 0 auto;
  padding: 16px;
}
.head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; margin: 0 2px 14px; }
.title { font-size: 19px; font-weight: 600; }
.soft { color: var(--soft); }
.small { font-size: 12px; }
.lines { white-space: pre-line; }
.mono { font-family: ui-monospace, monospace; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px;
  min-width: 0;
}
.tutors { display: grid; gap: 10px; margin-bottom: 14px; }
.tutor .row { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 22px; }
.students {
  display: grid; gap: 14px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 540px), 1fr));
}
.is-silent > :not(.top) { opacity: 0.5; }
.top { display: flex; align-items: baseline; gap: 4px 10px; flex-wrap: wrap; margin-bottom: 8px; }
.name { font-weight: 600; font-size: 15px; overflow-wrap: anywhere; }
.state { margin-left: auto; white-space: nowrap; font-weight: 600; font-size: 13px; }
.state::before { content: '●'; margin-right: 5px; font-size: 11px; }
.good { color: var(--good); } .warn { color: var(--warn); }
.bad { color: var(--bad); } .silent { color: var(--silent); }
.pictures { display: grid; grid-template-columns: repeat(3, 1fr); gap: 6px; }
.pictures:has(> .picture:last-child:not(.hidden)) { grid-template-columns: repeat(2, 1fr); }
.picture img { display: block; width: 100%; border-radius: 4px; background: var(--page); }
.picture .small { margin-top: 2px; }
.under { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 14px; }
.pictures + .under { margin-top: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 12px; }
.entry { display: flex; align-items: center; gap: 5px; }
.swatch { width: 10px; height: 10px; border-radius: 2px; }
.figures { display: grid; gap: 8px 10px; margin-top: 10px; grid-template-columns: repeat(6, 1fr); }
.value { font-size: 16px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.chart { width: 100%; height: 128px; margin-top: 10px; }
.detail { color: var(--warn); font-size: 13px; overflow-wrap: anywhere; margin-top: 6px; }
.load { width: 64px; height: 6px; border-radius: 3px; background: var(--line); overflow: hidden; }
.load div { height: 100%; background: var(--load); }
.nobody { padding: 60px 0; text-align: center; color: var(--soft); }
@media (max-width: 520px) {
  .nicegui-content { padding: 10px; }
  .pictures { grid-template-columns: repeat(2, 1fr); }
  .picture:first-child { grid-column: span 2; }
  .figures { grid-template-columns: repeat(4, 1fr); }
  .top .mono { order: 1; flex-basis: 100%; }
}
"""
