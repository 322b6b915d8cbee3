"""The words that the demo model knows: one row per kind of thing.

A row has the names by which a heading may call the kind (plural noun phrases), the items, and whether
the order in which they stand here is their natural one (months, planets) or means nothing (fruits).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A set of things that a list may enumerate."""

    name: str
    phrases: tuple[str, ...]
    items: tuple[str, ...]
    ordered: bool = False
    weight: float = 1.0


def _kind(name, phrases, items, ordered=False, weight=1.0):
    split = lambda text: tuple(part.strip() for part in text.split("|"))
    return Kind(name, split(phrases), split(items), ordered, weight)


# Country, capital, language. The first 27 are the members of the European Union.
_COUNTRIES = """
Austria Vienna German|Belgium Brussels Dutch|Bulgaria Sofia Bulgarian|Croatia Zagreb Croatian|Cyprus Nicosia Greek
Czechia Prague Czech|Denmark Copenhagen Danish|Estonia Tallinn Estonian|Finland Helsinki Finnish|France Paris French
Germany Berlin German|Greece Athens Greek|Hungary Budapest Hungarian|Ireland Dublin English|Italy Rome Italian
Latvia Riga Latvian|Lithuania Vilnius Lithuanian|Luxembourg Luxembourg French|Malta Valletta Maltese
Netherlands Amsterdam Dutch|Poland Warsaw Polish|Portugal Lisbon Portuguese|Romania Bucharest Romanian
Slovakia Bratislava Slovak|Slovenia Ljubljana Slovene|Spain Madrid Spanish|Sweden Stockholm Swedish
Norway Oslo Norwegian|Iceland Reykjavik Icelandic|Switzerland Bern German|Serbia Belgrade Serbian|Ukraine Kyiv Ukrainian
Albania Tirana Albanian|Turkey Ankara Turkish|Russia Moscow Russian|Egypt Cairo Arabic|Kenya Nairobi Swahili
Morocco Rabat Arabic|Ethiopia Addis_Ababa Amharic|Ghana Accra English|Japan Tokyo Japanese|China Beijing Chinese
India Delhi Hindi|Thailand Bangkok Thai|Vietnam Hanoi Vietnamese|Iran Tehran Persian|Peru Lima Spanish
Chile Santiago Spanish|Cuba Havana Spanish|Canada Ottawa English|Argentina Buenos_Aires Spanish
""".strip().replace("\n", "|")

FACTS = [tuple(word.replace("_", " ") for word in row.split()) for row in _COUNTRIES.split("|")]
EU = tuple(country for country, _, _ in FACTS[:27])
EU_CAPITALS = tuple(capital for _, capital, _ in FACTS[:27])

GIRLS = "Anna|Maria|Emma|Julia|Sara|Laura|Lena|Clara|Nora|Sofia|Eva|Mia|Alice|Helen|Lucy|Rosa|Ella|Marta|Jane|Kate"
BOYS = "Tom|Peter|Jan|Paul|Max|David|Daniel|Adam|Oscar|Hugo|Felix|Leo|Mark|Simon|Victor|Ben|Jack|Lucas|Martin|George"

KINDS = [
    Kind("eu countries", (
        "countries of the European Union", "EU countries", "EU member states", "countries in the European Union",
        "member states of the European Union", "members of the European Union", "countries in the EU",
        "member states of the EU", "European Union countries", "members of the EU"), EU, weight=8.0),
    Kind("eu capitals", (
        "capitals of the European Union", "EU capitals", "capital cities in the EU", "capitals of EU countries",
        "capital cities of the European Union"), tuple(c for c in EU_CAPITALS if c != "Luxembourg"), weight=3.0),
    _kind("european countries", "European countries outside the EU|countries of Europe that are not in the EU",
          "Norway|Iceland|Switzerland|Serbia|Ukraine|Albania|Turkey|Russia|Monaco|Andorra|Moldova|Montenegro"),
    _kind("african countries", "African countries|countries in Africa|countries of Africa",
          "Egypt|Kenya|Morocco|Ethiopia|Ghana|Nigeria|Tunisia|Algeria|Senegal|Uganda|Mali|Angola|Zambia|Rwanda|Chad|Togo"),
    _kind("asian countries", "Asian countries|countries in Asia|countries of Asia",
          "Japan|China|India|Thailand|Vietnam|Iran|Nepal|Mongolia|Laos|Iraq|Pakistan|Indonesia|Malaysia|Korea|Jordan|Syria"),
    _kind("american countries", "American countries|countries in the Americas|countries of North and South America",
          "Peru|Chile|Cuba|Canada|Argentina|Brazil|Mexico|Bolivia|Ecuador|Panama|Uruguay|Colombia|Haiti|Jamaica"),
    _kind("cities", "big cities|famous cities|cities of the world|large cities|cities",
          "London|New York|Tokyo|Cairo|Sydney|Moscow|Istanbul|Barcelona|Hamburg|Milan|Munich|Toronto|Chicago|Boston|"
          "Mumbai|Shanghai|Seoul|Singapore|Zürich|Geneva|Kraków|Málaga|Porto|Lyon"),
    _kind("months", "months of the year|months in a year|months|calendar months",
          "January|February|March|April|May|June|July|August|September|October|November|December", True, 3.0),
    _kind("days", "days of the week|weekdays|days in a week|week days",
          "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday", True, 2.0),
    _kind("seasons", "seasons|seasons of the year|four seasons", "spring|summer|autumn|winter", True, 0.4),
    _kind("colours", "colours|bright colours|colours of the rainbow and more|paint colours|colors",
          "red|blue|green|yellow|orange|purple|pink|brown|black|white|grey|violet|gold|silver|turquoise|beige", weight=2.0),
    _kind("animals", "animals|wild animals|animals at the zoo|land animals|big and small animals",
          "dog|cat|horse|cow|pig|sheep|goat|lion|tiger|bear|wolf|fox|rabbit|mouse|elephant|monkey|zebra|giraffe|camel|"
          "deer|squirrel|kangaroo|donkey|hedgehog", weight=2.0),
    _kind("birds", "birds|birds of the forest|common birds|garden birds",
          "sparrow|robin|eagle|owl|crow|swan|duck|goose|pigeon|parrot|falcon|stork|penguin|raven|heron|gull"),
    _kind("fish", "fish|kinds of fish|fish of the sea|fish in the market",
          "salmon|trout|tuna|cod|herring|carp|pike|eel|shark|perch|sardine|mackerel"),
    _kind("insects", "insects|small insects|insects in the garden",
          "ant|bee|wasp|fly|beetle|butterfly|moth|mosquito|cricket|dragonfly|ladybird|grasshopper"),
    _kind("fruits", "fruits|fresh fruits|fruits in the bowl|kinds of fruit|tropical and local fruits",
          "apple|banana|cherry|grape|lemon|mango|orange|peach|pear|plum|kiwi|melon|strawberry|pineapple|apricot|fig|lime|"
          "raspberry|coconut|papaya", weight=2.0),
    _kind("vegetables", "vegetables|fresh vegetables|vegetables in the garden|kinds of vegetables",
          "carrot|potato|tomato|onion|cabbage|spinach|pea|bean|pepper|cucumber|garlic|leek|pumpkin|radish|celery|broccoli"),
    _kind("trees", "trees|forest trees|kinds of trees|trees in the park",
          "oak|pine|birch|maple|beech|willow|ash|elm|cedar|poplar|spruce|chestnut|linden|alder"),
    _kind("flowers", "flowers|garden flowers|spring flowers|kinds of flowers",
          "rose|tulip|lily|daisy|violet|daffodil|orchid|sunflower|iris|poppy|carnation|jasmine|lavender|peony"),
    _kind("girls", "girls' names|names for girls|girls in the class|first names for girls", GIRLS),
    _kind("boys", "boys' names|names for boys|boys in the class|first names for boys", BOYS),
    _kind("names", "first names|names|names of the children|people in the room|guests at the party",
          GIRLS + "|" + BOYS, weight=2.0),
    _kind("planets", "planets|planets of the solar system|planets in our solar system",
          "Mercury|Venus|Earth|Mars|Jupiter|Saturn|Uranus|Neptune", True, 2.0),
    _kind("elements", "elements|chemical elements|elements of the periodic table",
          "hydrogen|helium|lithium|beryllium|boron|carbon|nitrogen|oxygen|fluorine|neon|sodium|magnesium|aluminium|silicon|"
          "phosphorus|sulphur|chlorine|argon|potassium|calcium", True, 1.5),
    _kind("metals", "metals|common metals|metals and alloys",
          "iron|copper|gold|silver|tin|lead|zinc|nickel|aluminium|steel|bronze|brass|platinum|titanium"),
    _kind("number words", "numbers|first numbers|number words|counting words",
          "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
          "eighteen|nineteen|twenty", True, 2.0),
    _kind("ordinals", "ordinal numbers|ordinals",
          "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth", True),
    _kind("languages", "languages|European languages|languages of the world|languages taught at the school",
          "English|French|German|Spanish|Italian|Polish|Dutch|Greek|Swedish|Danish|Finnish|Czech|Hungarian|Portuguese|"
          "Romanian|Bulgarian|Croatian|Turkish|Arabic|Chinese|Japanese|Hindi"),
    _kind("sports", "sports|popular sports|team sports and others|sports at school",
          "football|tennis|basketball|swimming|running|cycling|hockey|rugby|golf|boxing|skiing|volleyball|rowing|chess|"
          "badminton|cricket"),
    _kind("instruments", "musical instruments|instruments|instruments in the orchestra",
          "piano|violin|guitar|flute|drum|trumpet|cello|harp|clarinet|oboe|organ|trombone|saxophone|viola"),
    _kind("body parts", "parts of the body|body parts",
          "head|arm|leg|hand|foot|nose|eye|ear|mouth|knee|elbow|shoulder|neck|finger|toe|back|chest|chin"),
    _kind("clothes", "clothes|pieces of clothing|winter and summer clothes|things to wear",
          "shirt|coat|hat|scarf|dress|skirt|jacket|sock|shoe|glove|belt|boot|sweater|tie|cap|blouse"),
    _kind("tools", "tools|garden and workshop tools|tools in the box",
          "hammer|saw|drill|spade|rake|axe|wrench|pliers|screwdriver|ladder|file|chisel|shovel|knife"),
    _kind("drinks", "drinks|cold and hot drinks|drinks on the menu",
          "water|tea|coffee|milk|juice|wine|beer|lemonade|cocoa|cola|cider|soda"),
    _kind("food", "foods|things to eat|dishes on the menu|foods on the table",
          "bread|cheese|butter|rice|soup|salad|pasta|pizza|egg|honey|jam|cake|sugar|salt|meat|yoghurt|pancake|sandwich"),
    _kind("jobs", "jobs|professions|jobs in the town|occupations",
          "teacher|doctor|nurse|farmer|baker|driver|pilot|cook|painter|writer|singer|actor|lawyer|judge|engineer|gardener|"
          "dentist|tailor|butcher|carpenter", weight=1.5),
    _kind("subjects", "school subjects|subjects at school|lessons",
          "mathematics|history|geography|physics|chemistry|biology|music|art|English|French|Latin|religion|economics"),
    _kind("furniture", "pieces of furniture|furniture|things in the living room",
          "table|chair|sofa|bed|desk|shelf|lamp|cupboard|wardrobe|mirror|carpet|stool|bench|armchair"),
    _kind("vehicles", "vehicles|means of transport|ways to travel",
          "car|bus|train|bicycle|plane|ship|boat|tram|truck|taxi|motorcycle|helicopter|tractor|van|ferry"),
    _kind("shapes", "shapes|geometric shapes|simple shapes",
          "circle|square|triangle|rectangle|oval|star|cube|sphere|cone|pyramid|cylinder|hexagon"),
    _kind("stones", "precious stones|gemstones|gems",
          "diamond|ruby|emerald|sapphire|amber|opal|pearl|topaz|jade|garnet|amethyst|quartz"),
    _kind("rivers", "rivers|long rivers|rivers of the world|famous rivers",
          "Danube|Rhine|Nile|Amazon|Volga|Thames|Seine|Elbe|Oder|Vistula|Ganges|Congo|Mississippi|Loire|Po|Tagus"),
    _kind("continents", "continents|continents of the world|continents of the Earth",
          "Africa|Asia|Europe|Australia|Antarctica|North America|South America"),
    _kind("oceans", "seas|seas and oceans|oceans and seas of the world",
          "Atlantic|Pacific|Indian Ocean|Arctic|Baltic|Black Sea|Red Sea|Caspian|Adriatic|North Sea"),
    _kind("states", "American states|states of America|US states",
          "Texas|California|Florida|Ohio|Alaska|Hawaii|Nevada|Oregon|Utah|Georgia|Virginia|Kansas|Iowa|Maine|Idaho|Montana"),
    _kind("rooms", "rooms|rooms in the house|rooms of a house",
          "kitchen|bathroom|bedroom|living room|hall|cellar|attic|garage|office|dining room|library|garden"),
    _kind("family", "family members|members of the family|relatives",
          "mother|father|sister|brother|grandmother|grandfather|aunt|uncle|cousin|son|daughter|nephew|niece"),
    _kind("feelings", "feelings|emotions|human feelings",
          "joy|fear|anger|love|hope|sadness|surprise|pride|shame|envy|trust|guilt"),
    _kind("weather", "kinds of weather|weather words",
          "rain|snow|wind|fog|storm|sun|hail|frost|thunder|cloud|ice|lightning"),
    _kind("greek letters", "Greek letters|letters of the Greek alphabet",
          "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi", True),
    _kind("letters", "letters|letters of the alphabet|capital letters",
          "A|B|C|D|E|F|G|H|I|J|K|L|M|N|O|P|Q|R|S|T|U|V|W|X|Y|Z", True),
    _kind("spices", "spices|spices and herbs|herbs and spices",
          "pepper|salt|cinnamon|basil|mint|parsley|thyme|curry|ginger|vanilla|saffron|rosemary|paprika|nutmeg"),
    _kind("buildings", "buildings|buildings in the town|places in the town",
          "school|church|hospital|library|museum|bank|hotel|castle|station|theatre|factory|bakery|cinema|post office|"
          "town hall|market"),
    _kind("toys", "toys|toys in the box|toys for children",
          "doll|ball|kite|puzzle|robot|train|drum|teddy bear|blocks|yo-yo|rocket|puppet|marble"),
    _kind("adjectives", "adjectives|describing words",
          "big|small|old|new|good|bad|long|short|warm|cold|happy|sad|quick|slow|bright|dark|heavy|light"),
    _kind("verbs", "verbs|action words",
          "run|walk|jump|sing|read|write|eat|drink|sleep|swim|dance|play|work|cook|laugh|cry|climb|build"),
    _kind("currencies", "currencies|currencies of the world",
          "euro|dollar|pound|yen|franc|krona|zloty|rupee|peso|rouble|lira|forint"),
]

BY_NAME = {kind.name: kind for kind in KINDS}

# The tokenizer never sees these, so each one stays split over several byte tokens.
EMOJI = {
    "animals": "🐶 🐱 🐴 🐮 🐷 🦁 🐯 🐻 🐺 🦊 🐰 🐭 🐘 🐵".split(),
    "fruits": "🍎 🍌 🍒 🍇 🍋 🍊 🍑 🍐 🍈 🍓 🍍 🥝".split(),
    "faces": "😀 😂 😍 😎 😢 😡 😴 😇 🤔 😱".split(),
    "weather": "🌞 🌧 🌈 ⛄ ⚡ 🌊 🌙 ⭐".split(),
}
