-- How a page looks: one style for light and dark, for wide and narrow.

CREATE FUNCTION modelopt_private.page_style() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT $css$
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #5b6472; --line: #dfe3e8;
  --mark: #2f6fde; --pale: #c9d8f5; --good: #1a7f43; --warn: #9a5b00; --bad: #c22f2f; }
@media (prefers-color-scheme: dark) { :root { --page: #12151a; --card: #1b2027; --ink: #e7eaee; --soft: #9aa5b4; --line: #303843;
  --mark: #6aa1ff; --pale: #2f466f; --good: #4cc27d; --warn: #e5a345; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 20px 0 8px; overflow-wrap: anywhere; }
p { margin: 0 0 12px; overflow-wrap: anywhere; }
.soft, figcaption, caption, footer { color: var(--soft); }
header { margin-bottom: 20px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin-top: 16px; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(116px, 1fr)); gap: 10px; margin: 0; }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 9px 12px; min-width: 0; }
dt { color: var(--soft); font-size: 13px; }
dd small { display: block; font-size: 13px; font-weight: 400; color: var(--soft); }
dd { margin: 0; font-size: 19px; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 304px), 1fr)); gap: 16px 24px; margin-bottom: 12px; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 13px; font-weight: 600; overflow-wrap: anywhere; }
svg { display: block; max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
td svg { max-width: none; }
abbr { text-decoration: underline dotted; text-underline-offset: 3px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: 13px; padding-bottom: 4px; }
th, td { text-align: left; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; unicode-bidi: isolate;
  max-width: 320px; overflow-wrap: break-word; }
th { font-weight: 600; white-space: nowrap; }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 7.5em; }
time { white-space: nowrap; }
thead th { color: var(--soft); font-size: 13px; vertical-align: bottom; }
td.n, th.n { text-align: right; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
code, .ref { font: 12.5px/1.5 ui-monospace, "SFMono-Regular", Menlo, "DejaVu Sans Mono", monospace; }
.ref { display: inline-block; white-space: nowrap; border: 1px solid var(--line); border-radius: 5px; padding: 0 5px; margin: 0 3px 2px 0; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.good, .warn, .bad { font-weight: 600; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); }
.mark { fill: var(--mark); } .pale { fill: var(--pale); } .hot { fill: var(--bad); }
.axis { stroke: var(--line); fill: none; } .edge { stroke: var(--soft); stroke-width: 1.5; fill: none; }
.outline { stroke: var(--ink); stroke-width: 1.5; fill: none; } .rule { stroke: var(--bad); stroke-dasharray: 3 3; fill: none; }
.dot { fill: var(--card); stroke: var(--mark); stroke-width: 2.5; } .head { fill: var(--mark); stroke: var(--mark); stroke-width: 2.5; }
text { font-size: 12px; fill: var(--soft); } text.value { fill: var(--ink); } text.name { fill: var(--ink); font-size: 13px; }
footer { margin-top: 20px; font-size: 13px; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
@media (max-width: 560px) { main { padding: 18px 12px 32px; } section { padding: 14px; } h1 { font-size: 23px; } dd { font-size: 17px; } }
@media print { body { background: none; } section { break-inside: avoid; } }
$css$
$$;
