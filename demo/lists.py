"""List documents: a heading, then items of one kind in one form, in some order, none of them twice."""

from words import BY_NAME, EMOJI, FACTS, KINDS

# {NP} the kind's phrase with a capital letter, {np} as it stands, {name} a first name.
HEADINGS = [
    "The {np} are:", "{NP}:", "{NP}", "A list of {np}:", "Here is a list of {np}:", "Some {np}:", "These are {np}:",
    "Here are some {np}:", "Here are the {np}:", "The following are {np}:", "List of {np}:", "List of {np}",
    "All the {np}:", "My favourite {np} are:", "We know these {np}:", "Do you know the {np}?", "Name some {np}.",
    "Examples of {np}:", "What are the {np}?", "{name} wrote down some {np}:", "{name} knows these {np}:",
    "In class we learned the {np}:", "{name} asked: \"Can you name the {np}?\"", "The {np} that {name} knows are:",
    "Please write down the {np}:", "# {NP}", "There are many {np}, for example:", "{NP} include:",
]
INLINE = [
    "The {np} are", "The {np} are:", "{NP}:", "Some {np} are", "Some {np}:", "{NP} are, for example,",
    "{NP} include", "{name} knows the {np}", "We talked about the {np}:", "A list of {np}:", "List of {np}:",
    "Here are some {np}:", "My favourite {np} are", "Examples of {np} are", "Examples of {np}:", "The {np}:",
]


def capital(text):
    return text[:1].upper() + text[1:]


def heading(rng, kind, templates):
    """A heading for `kind`, filled in."""
    phrase = rng.choice(kind.phrases)
    name = rng.choice(BY_NAME["names"].items)
    return rng.choice(templates).format(np=phrase, NP=capital(phrase), name=name)


def choose(rng, kind):
    """Some or all of the kind's items, in an order that a list may have."""
    items, n = list(kind.items), len(kind.items)
    length = n if rng.random() < 0.45 else rng.randint(min(n, 7), n)
    length = min(length, 27)
    draw = rng.random()
    if kind.ordered and draw < 0.75:  # a run in natural order, from any place
        start = 0 if rng.random() < 0.5 else rng.randrange(n)
        if rng.random() < 0.5 or kind.name in ("elements", "number words", "letters", "ordinals", "greek letters"):
            return items[start:start + length] if n - start >= 3 else items
        return (items + items)[start:start + length]
    rng.shuffle(items)
    items = items[:length]
    if draw > 0.75 or (kind.name == "eu countries" and draw > 0.45):
        items.sort()
    return items


def number_style(rng):
    """How the lines of a list begin: a function of the item's number."""
    styles = [(lambda i: f"{i}. ", 6), (lambda i: f"{i}) ", 2), (lambda i: "- ", 4), (lambda i: "* ", 1.5),
              (lambda i: "", 0.7), (lambda i: f"{i}: ", 0.5)]
    return rng.choices([s for s, _ in styles], [w for _, w in styles])[0]


def lines(rng, items):
    """The items one below the other, in one of the line forms."""
    style = number_style(rng)
    return "\n".join(style(i + 1) + item for i, item in enumerate(items))


def inline(rng, items):
    """The items in one line, parted by commas."""
    form = rng.random()
    if form < 0.45:
        return ", ".join(items[:-1]) + " and " + items[-1] + "."
    if form < 0.6:
        return ", ".join(items[:-1]) + ", and " + items[-1] + "."
    return ", ".join(items) + ("." if form < 0.85 else "")


def pick_kind(rng):
    return rng.choices(KINDS, [kind.weight for kind in KINDS])[0]


def enumeration(rng, kind=None):
    """One list of one kind with (mostly) a heading."""
    kind = kind or pick_kind(rng)
    items = choose(rng, kind)
    if rng.random() < 0.28:
        title = heading(rng, kind, INLINE) + " " if rng.random() < 0.93 else ""
        return title + inline(rng, items)
    if rng.random() < 0.3:
        items = [capital(item) for item in items]
    title = heading(rng, kind, HEADINGS) + ("\n" if rng.random() < 0.85 else "\n\n") if rng.random() < 0.95 else ""
    return title + lines(rng, items)


def two_lists(rng):
    """Two lists of different kinds, so that a heading matters more than what stood before it."""
    return enumeration(rng) + "\n\n" + enumeration(rng)


def pairs(rng):
    """Country and capital (or language) in lines."""
    rows = rng.sample(FACTS, rng.randint(5, 14))
    what, at = rng.choice([("capitals", 1), ("languages", 2)])
    style, sep = number_style(rng), rng.choice([": ", " - ", ", "])
    title = rng.choice(["Countries and their {}:", "Countries and {}:", "A table of countries and {}:"]).format(what)
    return title + "\n" + "\n".join(style(i + 1) + row[0] + sep + row[at] for i, row in enumerate(rows))


def sequence(rng):
    """Numbers that follow a rule."""
    start, length = rng.randint(1, 60), rng.randint(8, 22)
    step = rng.choice([1, 1, 1, 2, 3, 5, 10])
    kind = rng.randrange(7)
    if kind == 0:
        title, values = f"Count from {start} to {start + length - 1}:", range(start, start + length)
    elif kind == 1:
        title, values = f"Count down from {start + length}:", range(start + length, start, -1)
    elif kind == 2:
        title, values = "Even numbers:", range(2 * start, 2 * (start + length), 2)
    elif kind == 3:
        title, values = "Odd numbers:", range(2 * start - 1, 2 * (start + length) - 1, 2)
    elif kind == 4:
        title, values = f"Multiples of {step}:", range(step, step * (length + 1), step)
    elif kind == 5:
        first = rng.randint(1900, 2020)
        title, values = "Years:", range(first, first + length)
    else:
        title, values = f"Start at {start} and add {step}:", range(start, start + step * length, step)
    sep = rng.choice([", ", ", ", " ", "\n"])
    if rng.random() < 0.2:
        return sep.join(map(str, values))
    return title + ("\n" if sep == "\n" else " ") + sep.join(map(str, values))


def pictures(rng):
    """Lists with emoji, each of them several byte tokens long."""
    group = rng.choice(list(EMOJI))
    signs = EMOJI[group][:]
    if group in ("animals", "fruits") and rng.random() < 0.6:
        rows = list(zip(signs, BY_NAME[group].items, strict=False))
        rng.shuffle(rows)
        signs = [f"{sign} {word}" for sign, word in rows]
    else:
        rng.shuffle(signs)
    title = rng.choice([f"Emoji for {group}:", f"{capital(group)} in pictures:", f"{capital(group)} as emoji:"])
    if rng.random() < 0.4:
        return title + " " + rng.choice([" ", ", "]).join(signs)
    return title + "\n" + lines(rng, signs)
