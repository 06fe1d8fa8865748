#include "html_priv.h"
#include "markup.h"
#include "run_json.h"

/* Colours are told apart by the colour-blind, and have at least 3:1 against their background. */
static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#59626d;--line:#dfe3e8;"
    "--card:#f5f7f9;--good:#0b6b43;--bad:#b3261e;"
    "--c0:#0068b5;--c1:#c94f00;--c2:#00795a;--c3:#a3427c;--c4:#5c6672;--c5:#8a6d00;--c6:#5b4bb5}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e7eaee;--dim:#a3adb8;--line:#"
    "31373e;"
    "--card:#1d2125;--good:#5fd39b;--bad:#ff8f85;"
    "--c0:#62b5f2;--c1:#f2994a;--c2:#3ccb9d;--c3:#e593c4;--c4:#b7c0ca;--c5:#d9c04a;--c6:#a99cf5}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;padding:16px;max-width:1100px;background:var(--bg);"
    "color:var(--fg);font:15px/1.45 system-ui,sans-serif}\n"
    "h1{margin:.2em 0 0;font-size:1.9em}h2{margin:2em 0 .4em;font-size:1.2em}p{margin:.4em 0}\n"
    ".about{font-size:1.1em}.what,.absent,.note,small{color:var(--dim)}.what{overflow-wrap:"
    "anywhere}\n"
    ".badges{display:flex;flex-wrap:wrap;gap:8px;margin:12px 0}.badge{border:1.5px solid;"
    "border-radius:6px;padding:2px 10px;font-weight:600;overflow-wrap:anywhere}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}.bad:not(td){font-weight:700}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:8px;margin:"
    "0}"
    ".tiles div{background:var(--card);border-radius:8px;padding:8px 12px}dt{color:var(--dim)}"
    "dd{margin:0;font-size:1.35em;font-weight:600;font-variant-numeric:tabular-nums}"
    "small{display:block;font-size:.6em;font-weight:400}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:2px 16px}.legend i{display:inline-block;width:16px;"
    "height:4px;border-radius:2px;margin-right:6px;vertical-align:middle;background:currentcolor}\n"
    ".plot{position:relative;padding:26px 24px 46px 62px}svg{display:block;overflow:visible}"
    "svg.lines{overflow:hidden}text{font-size:12px;fill:var(--dim)}text.y,text.end{text-anchor:end}"
    "text.x{text-anchor:middle}.grid{stroke:var(--line)}\n"
    "path{fill:none;stroke:currentcolor;stroke-width:2;vector-effect:non-scaling-stroke;"
    "stroke-linejoin:round;stroke-linecap:round}path.other{stroke-dasharray:3 5;stroke-width:1.8}"
    "path.broad{stroke-width:7;stroke-opacity:.3}"
    "rect{fill:currentcolor}rect.other{fill-opacity:.35;stroke:currentcolor;stroke-dasharray:4 3}\n"
    ".c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}"
    ".c4{color:var(--c4)}.c5{color:var(--c5)}.c6{color:var(--c6)}\n"
    ".wide{overflow-x:auto;margin:8px 0 "
    "20px}table{border-collapse:collapse;min-width:min(100%,420px);"
    "font-variant-numeric:tabular-nums}caption{text-align:left;color:var(--dim);padding:4px "
    "0;max-width:calc(100vw - 24px)}"
    "th,td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid var(--line);"
    "vertical-align:top}th{font-weight:600}tbody th{font-weight:400}.n{text-align:right;"
    "white-space:nowrap}td.good,td.bad{white-space:nowrap}td svg "
    "rect{color:var(--c0)}td.bar{width:30%;min-width:90px}\n"
    ".readout{position:absolute;top:0;right:24px;padding:2px 8px;background:var(--card);"
    "border:1px solid var(--line);border-radius:6px;font-size:12px;pointer-events:none;z-index:1}\n"
    ".cursor{position:absolute;top:26px;height:220px;border-left:1px solid var(--dim);"
    "pointer-events:none}\n"
    "@media(max-width:600px){.minor{display:none}th,td{padding-right:9px;font-size:13px}body{"
    "padding:12px}.plot{padding-right:12px}"
    ".readout{right:12px}}\n";

/* Reads a point back from where it was drawn; the page is whole without. */
static const char script[] =
    "'use strict';\n"
    "const units={count:v=>v.toLocaleString('en',{maximumSignificantDigits:4}),"
    "share:v=>+(v*100).toPrecision(v>.99?7:3)+' %',s:v=>+v.toPrecision(4)+' s',"
    "us:v=>v<1e3?+v.toPrecision(3)+' µs':v<1e6?+(v/1e3).toPrecision(3)+' ms':"
    "+(v/1e6).toPrecision(3)+' s'};\n"
    "units.per_s=v=>units.count(v)+'/s';\n"
    "const axis=text=>{const [kind,unit,a,b]=text.split(' ');const lo=+a,hi=+b;"
    "return f=>units[unit](kind==='log'?lo*(hi/lo)**f:kind==='nines'?1-(1-hi)**f:lo+(hi-lo)*f)};\n"
    "for(const svg of document.querySelectorAll('svg.lines')){\n"
    " const plot=svg.closest('.plot'),x=axis(svg.dataset.x),y=axis(svg.dataset.y);\n"
    " const lines=[...svg.querySelectorAll('path')].map(p=>({path:p,"
    "at:[...p.getAttribute('d').matchAll(/([\\d.]+) ([\\d.]+)/g)].map(m=>[+m[1],+m[2]])}))"
    ".filter(l=>l.at.length);\n"
    " const box=document.createElement('div'),cursor=document.createElement('div');\n"
    " box.className='readout';cursor.className='cursor';\n"
    " plot.addEventListener('pointermove',e=>{\n"
    "  const r=svg.getBoundingClientRect(),at=(e.clientX-r.left)/r.width*1000;\n"
    "  if(at<0||at>1000||!lines.length)return plot.dispatchEvent(new Event('pointerleave'));\n"
    "  const near=l=>l.at.reduce((a,b)=>Math.abs(b[0]-at)<Math.abs(a[0]-at)?b:a);\n"
    "  box.replaceChildren(x(near(lines[0])[0]/1000));\n"
    "  for(const l of lines){const s=document.createElement('div');"
    "s.className=l.path.classList[0];\n"
    "   s.textContent=l.path.dataset.name+(l.path.classList.contains('other')?' (other)':'')"
    "+' '+y(1-near(l)[1]/1000);box.append(s)}\n"
    "  box.style.left=at>500?'70px':'auto';box.style.right=at>500?'auto':'';\n"
    "  cursor.style.left=r.left-plot.getBoundingClientRect().left+near(lines[0])[0]/1000*r.width"
    "+'px';\n"
    "  plot.append(box,cursor)});\n"
    " plot.addEventListener('pointerleave',()=>{box.remove();cursor.remove()});\n"
    "}\n";

void html_head(struct page *p)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n<title>",
          p->out);
    markup_text(p->out, run_text(p->run, "scenario"));
    fputs(" at ", p->out);
    markup_text(p->out, run_text(p->run, "started_at"));
    fprintf(p->out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", style);
}

void html_foot(struct page *p)
{
    fputs("<footer><p class=\"note\">Written by snapup-bench ", p->out);
    markup_text(p->out, run_text(p->run, "tool"));
    fprintf(p->out, ".</p></footer>\n<script>\n%s</script>\n</body>\n</html>\n", script);
}
