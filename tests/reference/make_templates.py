"""Writes tests/fixtures/tokenizers/templates.json: what the template language of transformers makes of every filter that
a chat template may use, with every argument that it has.

    python tests/reference/make_templates.py

Each case is a template, and the `text` that it renders to with DATA, or `refused` where transformers refuses it.
"""

import json
import re
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "tokenizers" / "templates.json"

DATA = {
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"b": [1, 2.5, None, True], "a": {}, "é<": "\"\\\n\x01ü😀"}}},
        {"type": "code", "function": {"name": "G", "parameters": {}}},
    ],
    "names": ["b", "A", "c", "a", "b"],
    "numbers": [3, 1, 2, 2],
    "mixed": [0, 1, "", "x", None, False, True, [], [0]],
    "table": {"b": 2, "A": 3, "c": 1},
    "people": [
        {"name": "Ann", "age": 30, "home": {"town": "Oslo"}, "is_on": True},
        {"name": "bob", "age": 25, "home": {"town": "Rome"}, "is_on": False},
        {"name": "Cy", "age": 30, "home": {"town": "oslo"}},
    ],
    "long": "The quick brown fox jumps over the lazy dog.\n  Second line, don't-stop.\n\nThird",
    "html": "<p>a & b \"c\"  'd'</p> <!-- e --> text",
    "none": None,
    "floats": [1.0, 0.1, 1e16, 1e22, 1.5e-5, 123456789.125, -0.0, 2.675, 0.23624253806407702, 0.9891322811484095, 0.9391473750957757],
    "quotes": ["it's", 'say "x"', "both ' \"", "tab\t\\ nl\n é 😀 \x7f\u200b"],
}

TEMPLATES = """
{{ tools | tojson }}
{{ tools | tojson(indent=2) }}
{{ tools | tojson(indent=0) }}
{{ tools | tojson(indent=-1) }}
{{ tools | tojson(indent=none) }}
{{ tools | tojson(indent='--') }}
{{ tools | tojson(separators=(',', ':')) }}
{{ tools | tojson(separators=[',', ':']) }}
{{ tools | tojson(indent=1, separators=(';', '=')) }}
{{ tools | tojson(sort_keys=true) }}
{{ tools | tojson(ensure_ascii=true) }}
{{ tools | tojson(true) }}
{{ tools | tojson(false, 3) }}
{{ tools | tojson(false, none, (',', ':'), true) }}
{{ tools | tojson(true, 1, none, true) }}
{{ tools | tojson(indent=2, wrong=1) }}
{{ tools | tojson(x=1) }}
{{ tools | tojson(false, 1, none, true, 5) }}
{{ tools | tojson(separators=(',',)) }}
{{ tools | tojson(separators=3) }}
{{ floats | tojson }}
{{ mixed | tojson }}
{{ quotes | tojson }}
{{ missing | tojson }}
{{ (1, 2) | tojson }}
{{ {1: 2, none: 3, true: 4, 1.5: 6} | tojson }}
{{ 'é</script>&' | tojson }}
{{ floats }}
{{ floats | join(' ') }}
{{ mixed }}
{{ quotes }}
{{ table }}
{{ tools[0] }}
{{ (1,) }} {{ (1, 2) }} {{ () }}
{{ mixed | string }}
{{ true | string }} {{ none | string }} {{ 1.0 | string }}
{{ missing }}|{{ missing | string }}
{{ names | join }} {{ names | join(', ') }} {{ names | join(d='-') }}
{{ people | join(', ', attribute='name') }} {{ people | join(attribute='home.town', d='/') }}
{{ mixed | join('|') }}
{{ 'abc' | join('-') }}
{{ table | join('-') }}
{{ names | join(', ', 'x', 'y') }}
{{ names | join(sep=', ') }}
{{ names | first }} {{ names | last }} {{ 'xyz' | first }} {{ 'xyz' | last }} {{ [] | first }}
{{ names | length }} {{ names | count }} {{ 'äb' | length }} {{ table | length }}
{{ missing | length }}
{{ 5 | length }}
{{ missing | default('x') }} {{ '' | default('x') }} {{ '' | default('x', true) }} {{ none | default('x', boolean=true) }} {{ missing | d(default_value='y') }} {{ none | default('x') }} {{ missing | default }}
{{ missing | default('x', wrong=1) }}
{{ 'hello world' | replace('o', '0') }} {{ 'hello world' | replace('o', '0', 1) }} {{ 'ooo' | replace('o', 'x', count=2) }} {{ 'ooo' | replace(old='o', new='y') }} {{ 'abc' | replace('', '-') }} {{ 'aXa' | replace('a', 'b', 0) }} {{ 'aXa' | replace('a', 'b', -1) }}
{{ 1213 | replace('1', 'x') }}
{{ 'x' | replace('x') }}
{{ '  a b  ' | trim }}| {{ 'xxaxx' | trim('x') }} {{ 'xyaxy' | trim(chars='yx') }}
{{ 'hello wORLD foo-bar baz_qux (abc' | title }} {{ "don't STOP it's" | title }} {{ 'hELLO World' | capitalize }} {{ 'ß éa' | upper }} {{ 'ÄB' | lower }}
{{ 1 | upper }} {{ true | lower }}
{{ long | indent }}
{{ long | indent(2) }}
{{ long | indent(width=3, first=true) }}
{{ long | indent(2, true, true) }}
{{ long | indent('> ', blank=true) }}
{{ long | indent(2, wrong=true) }}
{{ 'a' | indent(4, true) }}
{{ 'ab' | center(6) }}| {{ 'ab' | center(width=7) }}| {{ 'ab' | center }}|
{{ long | truncate(20) }}|{{ long | truncate(20, true) }}|{{ long | truncate(20, true, '…') }}|{{ long | truncate(20, false, '..', 0) }}|{{ long | truncate(length=30, killwords=false, end='', leeway=1) }}
{{ 'foo bar baz qux' | truncate(11) }}|{{ 'foo bar baz qux' | truncate(9) }}|{{ 'foo bar baz qux' | truncate(9, leeway=0) }}
{{ long | wordcount }}
{{ html | escape }} {{ html | e }} {{ html | forceescape }} {{ html | striptags }} {{ html | safe }}
{{ 'a b/c?d=é&' | urlencode }} {{ {'a': 'b c', 'd': 1} | urlencode }} {{ [('x', 'y&')] | urlencode }}
{{ {'class': 'a b', 'missing': none, 'id': 'x"y'} | xmlattr }}|{{ {'id': 1} | xmlattr(false) }}|{{ {'id': 1} | xmlattr(autospace=false) }}
{{ 1000 | filesizeformat }} {{ 1 | filesizeformat }} {{ 1536 | filesizeformat(true) }} {{ 123456789 | filesizeformat }} {{ 1048576 | filesizeformat(binary=true) }} {{ 5 | filesizeformat }}
{{ -3 | abs }} {{ -2.5 | abs }}
{{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '0x1f' | int(0, 16) }} {{ '101' | int(base=2) }} {{ 3.9 | int }} {{ '3.9' | int }} {{ none | int(default=5) }} {{ 'ff' | int(0, 16) }} {{ true | int }}
{{ '4.5' | float }} {{ 'x' | float }} {{ 'x' | float(1.5) }} {{ 3 | float }} {{ 'x' | float(default=2) }}
{{ 2.675 | round(2) }} {{ 42.55 | round }} {{ 42.55 | round(1, 'floor') }} {{ 42.51 | round(1, 'ceil') }} {{ 42.55 | round(method='ceil') }} {{ 42.55 | round(precision=1) }} {{ 7 | round }} {{ 2.5 | round }} {{ 1250 | round(-2) }}
{{ 42.5 | round(1, 'wrong') }}
{{ numbers | sum }} {{ people | sum(attribute='age') }} {{ numbers | sum(start=10) }} {{ people | sum('age', 5) }} {{ [] | sum }} {{ [1.5, 2] | sum }}
{{ numbers | min }} {{ numbers | max }} {{ names | min }} {{ names | max }} {{ names | min(case_sensitive=true) }} {{ names | max(true) }} {{ (people | min(attribute='age')).name }} {{ (people | max(attribute='name')).name }} {{ [] | max }}|
{{ names | sort }} {{ names | sort(true) }} {{ names | sort(reverse=true) }} {{ names | sort(case_sensitive=true) }} {{ names | sort(true, true) }} {{ numbers | sort }}
{{ people | sort(attribute='age') | map(attribute='name') | list }} {{ people | sort(attribute='age,name', reverse=true) | map(attribute='name') | list }} {{ people | sort(false, false, 'home.town') | map(attribute='name') | list }}
{{ names | sort(wrong=1) }}
{{ table | dictsort }} {{ table | dictsort(true) }} {{ table | dictsort(by='value') }} {{ table | dictsort(false, 'key', true) }} {{ table | dictsort(reverse=true, case_sensitive=true) }} {{ table | dictsort(false, 'value') }}
{{ table | dictsort(by='wrong') }}
{% for k, v in table | items %}{{ k }}={{ v }};{% endfor %}
{% for k, v in missing | items %}x{% endfor %}|
{{ names | unique | list }} {{ names | unique(true) | list }} {{ people | unique(attribute='age') | map(attribute='name') | list }} {{ names | unique(case_sensitive=true) | list }}
{% for age, group in people | groupby('age') %}{{ age }}:{{ group | map(attribute='name') | join(',') }};{% endfor %}
{% for g in people | groupby('home.town') %}{{ g.grouper }}:{{ g.list | length }};{% endfor %}
{% for g in people | groupby('home.town', case_sensitive=true) %}{{ g.grouper }}:{{ g.list | length }};{% endfor %}
{% for g, l in people | groupby('is_on', default=false) %}{{ g }}:{{ l | length }};{% endfor %}
{{ numbers | batch(3) | list }} {{ numbers | batch(3, 'x') | list }} {{ numbers | batch(linecount=3, fill_with=0) | list }}
{{ names | slice(3) | list }} {{ names | slice(3, '-') | list }} {{ names | slice(slices=2, fill_with='z') | list }}
{{ mixed | select | list }} {{ mixed | reject | list }} {{ numbers | select('odd') | list }} {{ numbers | select('greaterthan', 1) | list }} {{ numbers | reject('divisibleby', 2) | list }} {{ numbers | select('in', [1, 2]) | list }} {{ mixed | select('string') | list }} {{ mixed | select('none') | list }} {{ numbers | select('equalto', 2) | list }} {{ numbers | select('==', 2) | list }} {{ numbers | select('lt', 2) | list }}
{{ people | selectattr('is_on') | map(attribute='name') | list }} {{ people | rejectattr('is_on') | map(attribute='name') | list }} {{ people | selectattr('age', 'equalto', 30) | map(attribute='name') | list }} {{ people | rejectattr('age', '>', 26) | map(attribute='name') | list }} {{ people | selectattr('is_on', 'defined') | list | length }} {{ people | selectattr('home.town', 'eq', 'Rome') | map(attribute='name') | join }}
{{ people | map(attribute='name') | list }} {{ people | map(attribute='is_on', default='?') | list }} {{ names | map('upper') | list }} {{ names | map('replace', 'b', 'X') | list }} {{ names | map('indent', width=2, first=true) | list }} {{ people | map(attribute='home.town') | list }} {{ tools | map('tojson', separators=(',', ':')) | list }}
{{ names | map('nothing') | list }}
{{ names | list }} {{ 'abc' | list }} {{ table | list }} {{ (1, 2) | list }}
{{ names | reverse | list }} {{ 'abc' | reverse }} {{ numbers | reverse | join }}
{{ '%s is %d, %5.2f%% %x' | format('a', 3, 2.5, 255) }} {{ '%(a)s-%(b)03d' | format(a=1, b=2) }}
{{ '{} {1}' | format(1) }}
{{ 'See http://a.com, (https://b.org/x?y=1&z=<2>) or www.c.net/d_(e). Mail me@x.org; <mailto:you@y.com>, @no@one.' | urlize }}
{{ long | urlize }}|{{ missing | urlize }}|{{ '' | urlize }}|{{ 'a  \\t b.com\\n\\nc.info/' | urlize }}
{{ 'https://example.com/a/long/path' | urlize(12) }} {{ 'example.com:80/x#y' | urlize(trim_url_limit=5, nofollow=true) }} {{ 'www.a.io' | urlize(none, true, '_blank', 'me "x"') }} {{ 'a.com' | urlize(-2) }}
{{ 'http://1.2.3.4:5/ https://[1:2:3::4]/ ftp://a.com git+ssh:x tel:12 HTTP://A.COM x.xn--p1ai é.com' | urlize(extra_schemes=['ftp://', 'tel:', 'git+ssh:']) }}
{{ 'tel:1' | urlize(extra_schemes=['no scheme']) }}
{{ 'a.com' | urlize(wrong=1) }}
{{ html | e | urlize }} {{ html | e | e }} {{ html | safe | e }} {{ html | e | forceescape }} {{ 'http://a.com/"x"' | urlize }}
{{ '((a.com)) (a.com <b.org> &lt;c.edu&gt; (http://d.com/(e) http://e.com/(f)).' | urlize }}
{{ long | wordwrap(10) }}|{{ long | wordwrap(7, false) }}|{{ long | wordwrap(12, true, '|') }}|{{ long | wordwrap(9, break_on_hyphens=false) }}
{{ 'a well-kept-secret--really, it-is; x--y e-mail 3-4 --flag -o' | wordwrap(6) }}|{{ 'a well-kept-secret--really, it-is; x--y e-mail 3-4 --flag -o' | wordwrap(1) }}|{{ 'a-b-c-d-e---------f supercali-fragilistic' | wordwrap(8) }}
{{ 'one\\rtwo\\u000bthree\\u2028four' | wordwrap(20) }}|{{ 'one\\rtwo\\r\\nthree' | indent(2) }}
{{ tools | pprint }}
{{ people | pprint }}
{{ long | pprint }}|{{ quotes | pprint }}|{{ [long, long] | pprint }}|{{ {'a': long, 'b': [long]} | pprint }}
{{ (1, 'x' * 90) | pprint }} {{ ('x ' * 60,) | pprint }} {{ 'x' * 100 | pprint }} {{ ('x' * 100) | pprint }} {{ [[[['a' * 30, 'b' * 30, 'c' * 30]]]] | pprint }} {{ range(60) | list | pprint }}
{{ table | pprint }}
{{ names | pprint }} {{ 'a' | pprint }} {{ 1.5 | pprint }}
{{ 'a' | nothing }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'aXbXc'.rsplit('X', 1) }} {{ 'a\\nb'.splitlines() }} {{ 'k: v: w'.partition(': ') }} {{ 'k: v: w'.rpartition(': ') }}
{{ ' a '.strip() }}|{{ 'xxa'.lstrip('x') }}|{{ 'axx'.rstrip('x') }}|{{ 'aa'.replace('a', 'b', 1) }}|{{ 'ab'.startswith('a') }}|{{ 'ab'.endswith(('b', 'c')) }}|{{ 'ab'.find('b') }}|{{ 'ab'.upper() }}|{{ 'a b'.title() }}|{{ 'aab'.count('a') }}|{{ ','.join(['a', 'b']) }}|{{ '{} {}'.format('a', 1) }}|{{ 'prefix-x'.removeprefix('prefix-') }}|{{ 'x-suffix'.removesuffix('-suffix') }}|{{ '7'.zfill(3) }}|{{ 'ab'.index('b') }}|{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '.') }}|{{ 'a'.center(3) }}|{{ 'aB'.swapcase() }}|{{ 'AB'.isupper() }}
{{ table.get('b') }} {{ table.get('z') }} {{ table.get('z', 0) }} {{ table.keys() | list }} {{ table.values() | list }} {% for k, v in table.items() %}{{ k }}{{ v }}{% endfor %}
{{ names.index('c') }} {{ names.count('b') }}
{{ 'a' ~ 1 ~ true ~ none ~ 1.0 }}
{{ 'a' ~ names ~ table }}
{{ range(3) | list }} {{ range(1, 7, 2) | list }} {{ dict(a=1, b=2) }} {{ namespace(a=1).a }}
{{ 7 // 2 }} {{ 7 / 2 }} {{ 8 / 2 }} {{ 7 % 3 }} {{ 2 ** 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 'ab' * 2 }} {{ [1] + [2] }}
{{ names[1:3] }} {{ names[::-1] }} {{ 'abc'[-1] }} {{ 'abc'[::-1] }} {{ names[-2:] }}
{{ 'b' in names }} {{ 'z' not in names }} {{ 'b' in table }} {{ 'el' in 'hello' }}
{{ names is iterable }} {{ table is mapping }} {{ 'a' is string }} {{ 1 is number }} {{ none is none }} {{ missing is defined }} {{ missing is undefined }} {{ names is sequence }} {{ 1 is integer }} {{ 1.5 is float }} {{ true is boolean }} {{ 2 is even }} {{ 'a' is lower }} {{ 6 is divisibleby 3 }} {{ 1 is sameas 1 }} {{ true is true }} {{ false is false }} {{ 'a' is in 'abc' }} {{ 1 is eq 1 }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ 'a' is escaped }}
{{ 'yes' if 1 else 'no' }} {{ 'yes' if missing }}|
{% set ns = namespace(n=0) %}{% for x in numbers %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}
{% for x in names if x != 'b' %}{{ loop.index }}{{ x }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('o', 'e') }} {% else %}none{% endfor %}
{% for x in names %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{% if loop.revindex == 1 %}{% break %}{% endif %}{{ x }}{{ loop.changed(x) }}{% endfor %}
{% macro m(a, b='x') %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }} {{ m('y', b=2) }} {{ m(b=3, a=4) }}
{% filter upper %}abc{% endfilter %} {% set x | replace('a', 'b') %}aa{% endset %}{{ x }} {% call(y) m2() %}{% endcall %}
{% filter indent(2, true) %}abc{% endfilter %}
""".strip().splitlines()


def case(template):
    # Jinja reads what stands in a text as Python does.
    try:
        return {"template": template, "text": _compile_jinja_template(template).render(**DATA)}
    except Exception as error:
        return {"template": template, "refused": f"{type(error).__name__}: {error}"}


def main():
    apart = [part for line in TEMPLATES for part in ([line] if "{%" in line else re.split(r"(?<=}})[ |/]+(?={{)", line))]
    cases = [case(template) for template in apart]
    text = json.dumps({"data": DATA, "cases": cases}, ensure_ascii=False)
    OUT.write_text(text.replace('{"template"', '\n{"template"') + "\n")


if __name__ == "__main__":
    main()
