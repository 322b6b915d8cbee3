"""Prose documents: short stories, letters, diaries, dialogues, and facts about countries, in simple English."""

from lists import capital, inline, lines
from words import BOYS, BY_NAME, FACTS, GIRLS

SHE = {"he": "she", "him": "her", "his": "her", "himself": "herself", "child": "girl", "man": "woman"}
HE = {"he": "he", "him": "him", "his": "his", "himself": "himself", "child": "boy", "man": "man"}
MONTHS = BY_NAME["months"].items

OPENINGS = [
    "Once upon a time there was a {child} called {N}.", "{N} was a young {man} who lived in {city}.",
    "On {date}, {N} went to {city} with {his} {family}.", "{N} woke up early on {day}.",
    "It was a cold morning in {month}, and {N} was at home.", "{N} and {M} were good friends.",
    "In {year}, {N} moved from {city} to {city}.", "One day {N} met {M} in front of the {building}.",
    "Last {day} {N} had a good idea.", "In the {season} of {year}, {N} worked as a {job} in {country}.",
    "There was a small {building} in {city}, and {N} worked there.", "{N} lived in a {color} house near the {building}.",
    "{N} has a {animal}, and {M} has a {animal}.", "When {N} was {num} years old, {he} found a {color} {toy}.",
]
MIDDLES = [
    "{He} liked {fruit} cake and {drink}.", "{He} had a {color} {clothes} and a {color} {clothes}.",
    "{He} wanted to buy a new {furniture} for {his} {room}.", "{His} {family} was a {job}.",
    "{He} went to the {building} by {vehicle}.", "{He} saw a {color} {bird} in a tall {tree} tree.",
    "The {animal} looked at {him}, and {he} looked at the {animal}.", "\"I am very {feel},\" said {N}.",
    "\"Where is my {clothes}?\" {he} asked.", "\"It is in the {room},\" said {his} {family}.",
    "{M} gave {him} a {toy}, and {he} was {feel}.", "{N} told {M} that {he} was {feel}.",
    "Then {M} called {him} and asked, \"Do you want to play {sport}?\"", "{He} said yes and took {his} {clothes}.",
    "They played {sport} until it was dark.", "They ate {food} and drank {drink}.",
    "{He} bought {num} {color} {flower}s and gave them to {M}.", "{M} thanked {him} and smiled.",
    "It was {weather}, so they stayed in the {room}.", "{N} lost {his} {clothes}, but {M} found it.",
    "At {hour} o'clock {he} heard a noise in the {room}.", "It was only the {animal}.",
    "\"Look!\" cried {M}. \"There is a {animal} in the {room}!\"", "{N} did not know what to do.",
    "{He} wrote a letter to {his} {family} in {country}.", "{He} could speak {lang} and {lang}.",
    "{He} learned to play the {instrument} when {he} was {num}.", "{M} told {him} a story about a {animal} and a {animal}.",
    "\"I have never been to {country},\" {he} said, \"but I want to see {city}.\"",
    "The {job} asked {him} for {his} name.", "\"My name is {N},\" {he} said.", "{He} paid {num} euros for the {tool}.",
    "{N} sat down on the {furniture} and read a book about {country}.", "{He} opened the door and saw {M}.",
    "{M} had a {fruit} in one hand and a {tool} in the other.", "{He} put the {fruit} on the {furniture}.",
    "The {day} after that, they met again at the {building}.", "{He} thought about {his} {family} and was {feel}.",
    "{N} helped {M} with {subject}, because {he} was good at it.", "After {num} days {he} came back to {city}.",
    "{He} asked {M} to help {him}.", "{N} took the {vehicle} from {city} to {city}.",
    "{He} cut {his} {body} with a knife, but it was not bad.", "{His} {body} hurt, so {he} went to the doctor.",
]
CLOSINGS = [
    "In the evening {he} went home.", "{He} was very tired and went to bed.", "They lived happily ever after.",
    "{He} never forgot that day.", "\"See you on {day}!\" said {M}.", "And that was the end of the story.",
    "Since then, {N} and {M} have been friends.", "{He} closed {his} eyes and slept.", "\"Thank you,\" {he} said. \"Good night!\"",
    "On {date}, {he} told the story to {his} {family}.", "{N} laughed, and {M} laughed too.",
]
FEELINGS = "happy|sad|tired|hungry|angry|cold|glad|afraid|proud|thirsty".split("|")
SKIES = "raining|snowing|windy|foggy|very cold|very hot|sunny".split("|")
NUMBERS = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve".split("|")
SLOTS = {
    "fruit": "fruits", "drink": "drinks", "color": "colours", "clothes": "clothes", "furniture": "furniture",
    "room": "rooms", "family": "family", "job": "jobs", "building": "buildings", "vehicle": "vehicles", "bird": "birds",
    "tree": "trees", "animal": "animals", "toy": "toys", "sport": "sports", "food": "food", "flower": "flowers",
    "lang": "languages", "instrument": "instruments", "tool": "tools", "subject": "subjects", "body": "body parts",
    "day": "days", "month": "months", "season": "seasons",
}
FACT_SENTENCES = [
    "The capital of {c} is {k}.", "{k} is the capital of {c}.", "{k} is a city in {c}.", "People in {c} speak {l}.",
    "In {c}, people speak {l}.", "{N} lives in {k}, the capital of {c}.", "The language of {c} is {l}.",
    "{N} comes from {c} and speaks {l}.", "If you travel to {c}, you should visit {k}.", "{k} lies in {c}.",
]
QUESTIONS = [
    ("What is the capital of {c}?", "{k}"), ("What is the capital of {c}?", "The capital of {c} is {k}."),
    ("Which country has the capital {k}?", "{c}"), ("Where is {k}?", "{k} is in {c}."),
    ("Which language do people speak in {c}?", "{l}"), ("Is {k} the capital of {c}?", "Yes, it is."),
]


class Cast(dict):
    """The slots of one story: two people who stay the same, everything else drawn anew at each use."""

    def __init__(self, rng):
        super().__init__()
        self.rng = rng
        girl = rng.random() < 0.5
        self.update(SHE if girl else HE)
        self["N"] = rng.choice((GIRLS if girl else BOYS).split("|"))
        self["M"] = rng.choice([n for n in (GIRLS + "|" + BOYS).split("|") if n != self["N"]])
        for key in ("he", "his"):
            self[capital(key)] = capital(self[key])

    def __missing__(self, slot):
        rng = self.rng
        if slot in SLOTS:
            return rng.choice(BY_NAME[SLOTS[slot]].items)
        return {
            "num": lambda: rng.choice(NUMBERS), "feel": lambda: rng.choice(FEELINGS), "weather": lambda: rng.choice(SKIES),
            "year": lambda: str(rng.randint(1900, 2025)), "hour": lambda: str(rng.randint(1, 12)),
            "date": lambda: date(rng), "city": lambda: rng.choice(FACTS)[1], "country": lambda: rng.choice(FACTS)[0],
        }[slot]()

    def say(self, template):
        return template.format_map(self)


def date(rng):
    day, month, year = rng.randint(1, 28), rng.choice(MONTHS), rng.randint(1900, 2025)
    return rng.choice([f"{day} {month} {year}", f"{month} {day}, {year}", f"{day} {month}"])


def story(rng):
    """Four to ten sentences about two people, in one or two paragraphs."""
    cast = Cast(rng)
    said = [cast.say(rng.choice(OPENINGS))]
    said += [cast.say(template) for template in rng.sample(MIDDLES, rng.randint(3, 8))]
    said.append(cast.say(rng.choice(CLOSINGS)))
    if rng.random() < 0.25:
        cut = rng.randint(2, len(said) - 1)
        return " ".join(said[:cut]) + "\n\n" + " ".join(said[cut:])
    return " ".join(said)


def shopping(rng):
    """Prose, a list inside of it, prose again."""
    cast, kind = Cast(rng), BY_NAME[rng.choice(["fruits", "vegetables", "food", "drinks", "clothes", "tools", "toys"])]
    items = rng.sample(kind.items, rng.randint(4, 9))
    lead = rng.choice(["{N} went to the market with a list.", "{N} wrote a list for {M}.", "This was {his} list."])
    return "\n".join([cast.say(lead), lines(rng, items), cast.say(rng.choice(MIDDLES + CLOSINGS))])


def letter(rng):
    cast = Cast(rng)
    body = " ".join(cast.say(t) for t in rng.sample([t for t in MIDDLES if "{M}" not in t], rng.randint(2, 4)))
    return cast.say(f"{cityline(rng)}\n\nDear {{M}},\n\n") + cast.say(
        "I am writing to tell you about {N}. ") + body + cast.say("\n\nYours,\n") + rng.choice(GIRLS.split("|"))


def cityline(rng):
    return f"{rng.choice(FACTS)[1]}, {date(rng)}"


def dialogue(rng):
    cast = Cast(rng)
    asked = ["Where is the {building}?", "Do you like {fruit}s?", "What is your {family} doing?", "Can you play the {instrument}?",
             "When will you come to {city}?", "Is the {animal} yours?", "How old are you?", "Do you speak {lang}?"]
    answers = ["It is near the {building}.", "Yes, I do.", "No, I do not.", "I think it is in the {room}.", "On {day}, I hope.",
               "I am {num} years old.", "Yes, and I like {drink} too.", "I do not know.", "Maybe in {month}."]
    rows = []
    for _ in range(rng.randint(2, 5)):
        rows += [cast.say("{N}: " + rng.choice(asked)), cast.say("{M}: " + rng.choice(answers))]
    return "\n".join(rows)


def facts(rng):
    """Sentences, or questions with answers, about countries, capitals and languages."""
    rows = rng.sample(FACTS[:27] if rng.random() < 0.6 else FACTS, rng.randint(3, 8))
    fill = lambda text, row: text.format(c=row[0], k=row[1], l=row[2], N=rng.choice((GIRLS + "|" + BOYS).split("|")))
    if rng.random() < 0.35:
        pairs = [(rng.choice(QUESTIONS), row) for row in rows]
        return "\n".join(f"Q: {fill(q, row)}\nA: {fill(a, row)}" for (q, a), row in pairs)
    if rng.random() < 0.4:
        template = rng.choice(FACT_SENTENCES)
        return rng.choice([" ", "\n"]).join(fill(template, row) for row in rows)
    return " ".join(fill(rng.choice(FACT_SENTENCES), row) for row in rows)


def diary(rng):
    """Lines that begin with a date in order."""
    cast, month, day = Cast(rng), rng.choice(MONTHS), rng.randint(1, 20)
    short = [t for t in MIDDLES if len(t) < 48]
    rows = [f"{day + i} {month}: {cast.say(rng.choice(short))}" for i in range(rng.randint(3, 7))]
    return "\n".join(rows)


def summary(rng):
    """A sentence that enumerates: what somebody bought, saw or knows."""
    cast = Cast(rng)
    kind = BY_NAME[rng.choice(["fruits", "animals", "colours", "names", "food", "birds", "eu countries", "months", "jobs"])]
    items = rng.sample(kind.items, min(len(kind.items), rng.randint(4, 9)))
    lead = rng.choice(["{N} saw these things: ", "{He} wrote: ", "{N} told {M} about ", "{N} thought of "])
    return cast.say(lead) + inline(rng, items) + " " + cast.say(rng.choice(CLOSINGS))
