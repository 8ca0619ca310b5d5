"""Word lists and hand-written prompts of :mod:`.reference`: ordinary things only, nothing that a model could have seen as one particular picture.

No names of people, works, brands or landmarks, none of the wares (rugs, cases, covers, prints) whose sales pages repeat one template, and none of the
words that the testbed was taught to answer with one picture each: its export is calibrated with these prompts, too.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(" ".join(entry.split()) for entry in text.split(","))


PEOPLE = _words("""
    fisherman, baker, carpenter, violinist, gardener, schoolteacher, bus driver, nurse, blacksmith, tailor, beekeeper, shepherd, potter,
    librarian, street musician, market vendor, mountain guide, railway worker, electrician, florist, cyclist, rower, swimmer, goalkeeper, dancer,
    juggler, grandmother, grandfather, young mother, tired father, teenage boy, teenage girl, student, hiker, farmer, glassblower, clockmaker,
    lighthouse keeper, ferry captain, chess player, cellist, drummer, translator, bricklayer, welder, window cleaner, postal worker, veterinarian,
    firefighter, cook, waiter, bride, pilgrim, archaeologist, botanist, astronomer, surveyor, photographer, puppeteer, tightrope walker, skater
""")
PEOPLE_LOOKS = _words("""
    in a yellow raincoat, in a wool sweater, with freckles, with long grey hair, with curly hair, with a shaved head, in a faded denim jacket,
    in a linen apron, wearing round glasses, with braided hair, in a heavy winter coat, in a striped shirt, with paint on both hands,
    in rubber boots, wearing a straw hat, with a red scarf, in a plain white shirt, with tattooed forearms, in a green cardigan,
    with a crooked smile, in a long dark skirt, with sunburnt cheeks, in a wheelchair, with a walking stick, wearing a knitted cap,
    in an orange safety vest
""")
PEOPLE_ACTIONS = _words("""
    reading a letter, repairing a bicycle, waiting for the bus, peeling potatoes, tuning an old piano, carrying a basket of apples,
    feeding pigeons, laughing at a joke, tying a shoelace, looking out of the window, drinking coffee, folding laundry, sweeping the floor,
    holding an umbrella, writing in a notebook, sharpening a knife, painting a fence, picking cherries, pushing a wheelbarrow,
    sleeping in an armchair, baking bread, playing cards, mending a net, climbing a ladder, hanging up washing, washing a window, walking a dog,
    eating a sandwich, watering tomatoes, stacking firewood, counting coins, listening to the radio, sewing on a button, waving from a balcony,
    stretching after a run, blowing out a candle
""")
ANIMALS = _words("""
    fox, heron, hedgehog, tabby cat, border collie, barn owl, donkey, mountain goat, squirrel, otter, badger, kingfisher, toad, rooster, foal,
    lynx, sheep, piglet, goose, raven, sparrow, tortoise, hare, seal, octopus, jellyfish, beetle, bumblebee, dragonfly, snail, bat, camel,
    highland cow, greyhound, kitten, puppy, parrot, flamingo, tiger, elephant, giraffe, zebra, wolf, brown bear, red deer, moose, crab, seahorse,
    gecko, chameleon, peacock, woodpecker, pelican, koi carp, salmon, mouse, guinea pig, llama, capybara, hippopotamus, orangutan, lemur, penguin,
    walrus, swan
""")
ANIMAL_LOOKS = _words("""
    wet, sleepy, curious, very old, shaggy, young, one-eyed, muddy, proud, skinny, well-fed, frightened, playful, spotted, pale, dusty, alert,
    snow-covered, limping, enormous, tiny, grumpy
""")
ANIMAL_ACTIONS = _words("""
    drinking from a puddle, hiding in tall grass, looking straight at the viewer, asleep in the sun, crossing a road, shaking off water,
    on a fence post, chasing a leaf, standing in shallow water, peering through a hole, yawning, in mid-jump, under a bush,
    stealing a piece of bread, in the snow, on a mossy log, next to its young, at the edge of a field, seen from behind, digging in the sand,
    scratching its ear, balancing on a branch
""")
THINGS = _words("""
    teapot, rusty key, pair of boots, brass telescope, wicker basket, broken clock, glass of water, stack of books, oil lamp, wooden chair,
    accordion, sewing machine, umbrella, bowl of lemons, loaf of bread, jar of honey, cast iron pan, suitcase, globe, chessboard, pocket watch,
    ceramic vase, paper boat, typewriter, cello, rocking horse, ball of yarn, copper kettle, candle, mirror, birdcage, lantern, pile of pumpkins,
    plate of dumplings, slice of chocolate cake, bunch of radishes, bowl of noodles, cheese board, tray of pastries, cup of tea,
    basket of mushrooms, pot of basil, cactus, bouquet of tulips, sprig of lavender, half-peeled orange, watering can, toolbox, hammer,
    violin case, hourglass, feather, seashell, marble bust, pair of glasses, kite, wooden spoon, bread knife, bicycle bell, radio, desk fan,
    bar of soap, bottle of ink, spool of thread, snow globe
""")
THING_LOOKS = _words("""
    old, polished, cracked, dusty, hand-painted, small, oversized, blue, bright red, pale green, transparent, weathered, brand new, simple,
    ornate, half-buried, forgotten, colorful, wet, striped, golden, matte black, cream-colored, crooked, heavy
""")
THING_PLACES = _words("""
    on a wooden table, on a windowsill, on a marble counter, in an empty room, on a pile of newspapers, in tall grass, on a linen cloth,
    on a stone step, against a plain grey background, in a cardboard box, on a kitchen shelf, at the bottom of a pond, on black velvet,
    on a workbench, in a shop window, on wet sand, beside an open notebook, floating in mid-air, in the palm of a hand, on a park bench,
    under a glass dome, on a church pew
""")
VEHICLES = _words("""
    tram, steam locomotive, rowing boat, fishing trawler, tractor, delivery van, hot air balloon, cable car, double-decker bus, motor scooter,
    glider, sailing boat, freight train, horse cart, fire engine, old pickup truck, cargo bicycle, canal barge, snowplow, tugboat, biplane,
    camper van, submarine, airship, race car, moped, ambulance, combine harvester, kayak, icebreaker, space station, lunar rover
""")
LANDSCAPES = _words("""
    mountain lake, birch forest, salt marsh, lavender field, rocky coast, desert canyon, terraced rice field, moorland, glacier, pine forest,
    sand dune, river delta, volcanic island, meadow full of poppies, waterfall, frozen river, orchard in bloom, limestone cave, bamboo grove,
    coral reef, tundra, vineyard on a hill, olive grove, steppe, fjord, swamp, wheat field, beach at low tide, mangrove forest, alpine pass,
    peat bog, gorge, tulip field, cliff with nesting birds, forest path, pond with water lilies, dry riverbed, hillside with grazing sheep,
    lagoon, chalk cliff, beech forest
""")
BUILDINGS = _words("""
    stone bridge, windmill, farmhouse, lighthouse, brick factory, apartment block, wooden church, railway station, greenhouse, castle ruin,
    tea house, fishing village, mountain hut, corner shop, bakery, market hall, old mill, harbor warehouse, water tower, observatory,
    row of town houses, treehouse, concrete parking garage, petrol station, swimming pool, football stadium, monastery, courtyard,
    spiral staircase, subway station, library, barn, narrow alley, cobbled street, rooftop garden, airport terminal, skyscraper, suburban house,
    bus stop, tunnel, playground, dockyard, cottage, chapel
""")
INTERIORS = _words("""
    kitchen, attic, workshop, classroom, waiting room, hotel corridor, reading room, laundry room, barber shop, artist studio, cellar,
    hospital ward, living room, bathroom, bedroom, greenhouse, ballroom, train compartment, ship cabin, radio studio, gym, bookshop, cafe,
    canteen, chemistry lab, server room, nursery, dining room, stairwell, theater dressing room, bicycle repair shop, pharmacy, office, hallway,
    sauna
""")
FANTASY = _words("""
    griffin asleep on a hill, mushroom house, android gardener, floating island, ice palace, talking tree, witch apprentice, clockwork bird,
    sea serpent, moon rabbit, giant made of moss, ghost ship, underwater city, knight on a snail, witch at the market, crystal forest,
    goblin tea party, space whale, astronaut in a flower field, city inside a bottle, fire spirit, stone golem, forest guardian,
    tiny people in a teacup, alien desert, cloud shepherd, flying bicycle, door in the middle of the sea, mermaid with a lantern, paper crane,
    cyborg monk, village on the back of a turtle
""")
PATTERNS = _words("""
    overlapping circles, a grid of small triangles, flowing ribbons, ink in water, torn paper collage, brush strokes, cracked glaze, folded paper,
    layers of mist, melting shapes, stacked cubes, tangled threads, concentric rings, spilled paint, rippling sand, smoke, woven fibers,
    soap bubbles, crumpled foil, stained glass shards, fractal branches, wavy stripes, scattered dots, marble veins
""")
PLACES = _words("""
    in a narrow alley, at a quiet harbor, in a crowded market, on a rooftop, by a campfire, in a small kitchen, at a railway crossing,
    in an empty theater, beside a frozen pond, on a mountain trail, in a walled garden, under a bridge, at a country fair, in a sunlit barn,
    on a ferry, in a muddy field, at the end of a pier, in a dense forest, in front of a brick wall, in a glass elevator, on a village square,
    in a ruined abbey, at a bus stop, on a snowy street, in a flower shop, near a waterfall, in a desert town, inside a tent, on a tennis court,
    at the foot of a glacier, in a library, on the stairs, in an old tram, at the seaside, behind a fence, among sunflowers, in a cornfield,
    in a subway car
""")
LIGHTS = _words("""
    soft morning light, harsh midday sun, golden evening light, blue hour, overcast sky, candlelight, neon light, moonlight, backlit, fog,
    light rain, dappled shade, strong side light, fluorescent light, firelight, dramatic shadows, rim light, hazy sunshine, storm light,
    first snow, after the rain, diffuse window light, lamplight, sunset glow, dim light, spotlight from above, low winter sun, heavy clouds,
    volumetric light, studio lighting
""")
MEDIA = _words("""
    oil painting, watercolor, charcoal drawing, pencil sketch, linocut, woodcut, gouache painting, pastel drawing, ink drawing, etching, collage,
    acrylic painting, digital painting, 3d render, low poly render, pixel art scene, vector illustration, claymation still, felt diorama, mosaic,
    fresco, children's book illustration, comic panel, botanical illustration, technical drawing, relief print, paper cutout, embroidery,
    stained glass window, black and white photograph, instant photo, analog photo, macro photograph, aerial photograph, long exposure photograph,
    candid photo, street photo, isometric illustration, chalk drawing, crayon drawing, screen print, cyanotype, tempera painting, wood carving,
    bronze sculpture, anime screenshot, concept art painting, matte painting, marker drawing, ballpoint pen drawing, sumi ink painting,
    voxel art scene, architectural rendering
""")
STYLES = _words("""
    minimalist, impressionist, expressionist, cubist, surreal, baroque, photorealistic, naive art, art deco, pointillist, romantic, gothic,
    retro futuristic, flat design, hyperrealistic, folk art, medieval manuscript style, pop art, solarpunk, steampunk, cyberpunk, film noir,
    vintage, brutalist, whimsical, abstract, storybook style, line art, cel shaded, grainy, loose brushwork, muted realism
""")
MOODS = _words("""
    calm, melancholic, cheerful, eerie, nostalgic, cozy, lonely, festive, tense, dreamy, playful, solemn, mysterious, warm, austere, hopeful,
    chaotic, humorous
""")
PALETTES = _words("""
    muted colors, pastel colors, earth tones, black and white, teal and orange, vivid colors, sepia, shades of blue, red and gold,
    shades of green, pale pink and grey, warm colors, cold colors, faded colors, primary colors, autumn colors, ochre and umber
""")
CAMERAS = _words("""
    close-up, wide shot, seen from above, low angle, shallow depth of field, 35mm, 85mm lens, telephoto, fisheye, bokeh, centered composition,
    long shot, rule of thirds, symmetrical, motion blur, film grain, side view, over the shoulder, full body, portrait, panorama, worm's-eye view,
    tilted horizon, f/1.8
""")
QUALITIES = _words("""
    highly detailed, sharp focus, best quality, masterpiece, 8k, intricate details, high resolution, realistic, absurdres, very aesthetic,
    beautiful, elegant, professional, ultra detailed, smooth, crisp, high contrast, 4k, hdr, award winning, finely textured, simple background,
    no text
""")
WEATHERS = _words("""
    in spring, in summer, in autumn, in winter, at dawn, at dusk, at night, at noon, during a thunderstorm, in thick fog, after heavy snowfall,
    in the rain, on a windy day, on a hot afternoon, under a clear sky, under a full moon, before sunrise, in the late afternoon
""")
DETAILS = _words("""
    a dog is running past, laundry is drying on a line, a thin column of smoke is rising, somebody has left a bicycle,
    the paint is peeling off the walls, birds are circling overhead, a child is pointing at something, the windows are lit,
    puddles reflect the sky, dry leaves cover the ground, an old man is watching, the door is half open, a train is passing,
    weeds grow between the stones, a cat is sitting in the corner, the chairs are empty, dust is floating in the air,
    a boat is pulled up on the shore, the road disappears behind a hill, washing-up is piled in the sink, a ladder leans against the wall,
    the table is set for two, flags are flapping in the wind, a lamp is flickering, footprints lead away
""")
ASKS = _words("""
    please draw, I would like a picture of, show me, can you paint, make an image of, an image of, I need an illustration of, imagine,
    generate a picture with, create a scene with
""")

# -- tags as anime models are prompted with ----------------------------------------------------------------------------------------------

TAG_SUBJECTS = _words("""
    1girl, 1boy, 2girls, 2boys, multiple people, no humans, 1other, old man, old woman, android, cat, dog, bird, griffin, horse, fox
""")
TAG_HAIR = _words("""
    short hair, long hair, medium hair, ponytail, braid, bob cut, messy hair, black hair, brown hair, blonde hair, grey hair, red hair, blue hair,
    white hair, green hair, hair bun, curly hair, bangs, hair ribbon
""")
TAG_EYES = _words("""
    blue eyes, brown eyes, green eyes, closed eyes, grey eyes, yellow eyes, glasses, freckles, smile, open mouth, frown, blush, serious
""")
TAG_CLOTHES = _words("""
    coat, scarf, hoodie, kimono, raincoat, apron, sweater, armor, overalls, beret, straw hat, backpack, boots, cardigan, long skirt, uniform,
    cape, gloves, headphones, mittens, jeans, school bag, lab coat, striped shirt, turtleneck, cloak, vest, necktie, winter clothes
""")
TAG_POSES = _words("""
    standing, sitting, walking, running, from side, from behind, from above, looking at viewer, looking away, looking up, holding umbrella,
    holding book, holding cup, arms crossed, hands in pockets, waving, sleeping, upper body, full body, cowboy shot, portrait, profile, reading,
    crouching, leaning
""")
TAG_PLACES = _words("""
    outdoors, indoors, classroom, city, street, forest, beach, rooftop, train interior, kitchen, library, cafe, bridge, mountain, flower field,
    ruins, bedroom, bus stop, staircase, shrine, garden, snow, rain, night sky, cloudy sky, sunset, cherry blossoms, autumn leaves, river, alley,
    window
""")
TAG_STYLES = _words("""
    monochrome, sketch, watercolor medium, flat color, lineart, limited palette, depth of field, wide shot, scenery, simple background, greyscale,
    backlighting, lens flare, chibi, white background, traditional media, game cg, dutch angle, close-up, colorful, muted color
""")

# -- phrases in other languages, that go together in any combination ---------------------------------------------------------------------

LANGUAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "German": (
        _words("""
            ein alter Fischer, eine Bäckerin, zwei spielende Kinder, ein schlafender Hund, eine rote Gießkanne, ein Korb voller Äpfel,
            ein Fahrrad, eine Gans, ein müder Lokführer, eine Frau mit Regenschirm, ein gedeckter Tisch, eine Windmühle, ein Igel,
            ein kleines Holzhaus
        """),
        _words("""
            am Hafen, im Garten, auf dem Marktplatz, in einer engen Gasse, am Waldrand, vor einer Backsteinmauer, in der Küche, am Flussufer,
            auf dem Dachboden, auf einer Bergwiese, im Gewächshaus, an der Bushaltestelle
        """),
        _words("""
            Ölgemälde, Aquarell, Bleistiftzeichnung, Schwarzweißfoto, im Morgenlicht, bei Nebel, warme Farben, im Winter, Nahaufnahme, bei Nacht
        """),
    ),
    "French": (
        _words("""
            un vieux pêcheur, une boulangère, deux enfants qui jouent, un chat endormi, une théière bleue, un panier de cerises, un vélo rouillé,
            un hérisson, une femme au parapluie, une table dressée, un moulin à vent, un cheval de trait, une petite maison en bois,
            un violoncelle
        """),
        _words("""
            au bord de la rivière, dans une ruelle étroite, sur la place du village, dans un jardin, devant un mur de briques, à la gare,
            dans la cuisine, au port, dans une serre, sur un sentier de montagne, au grenier, à la lisière du bois
        """),
        _words("""
            peinture à l'huile, aquarelle, dessin au crayon, photo en noir et blanc, lumière du matin, brouillard, couleurs vives, en hiver,
            gros plan
        """),
    ),
    "Spanish": (
        _words("""
            un pescador anciano, una panadera, dos niños jugando, un perro dormido, una tetera azul, una cesta de limones, una bicicleta oxidada,
            un búho, una mujer con paraguas, una mesa puesta, un molino de viento, un burro, una casita de madera, un violín
        """),
        _words("""
            a la orilla del río, en un callejón estrecho, en la plaza del pueblo, en un huerto, junto a una pared de ladrillo, en la estación,
            en la cocina, en el puerto, en un invernadero, en un sendero de montaña, en el desván, entre girasoles
        """),
        _words("""
            pintura al óleo, acuarela, dibujo a lápiz, foto en blanco y negro, luz de la mañana, con niebla, colores vivos, en invierno,
            primer plano
        """),
    ),
    "Portuguese": (
        _words("""
            um pescador idoso, uma padeira, duas crianças, um gato preto, um bule azul, uma cesta de laranjas, um burro, uma mesa posta,
            um barco a remos
        """),
        _words("à beira do rio, numa rua estreita, na praça da aldeia, na cozinha, no cais, num jardim, na estação, numa estufa, no sótão"),
        _words("""
            pintura a óleo, aquarela, desenho a lápis, foto em preto e branco, luz da manhã, com neblina, cores vivas, no inverno, plano geral
        """),
    ),
    "Russian": (
        _words("""
            старый рыбак, девушка с зонтом, спящая собака, синий чайник, корзина яблок, ёж, деревянный дом, ржавый велосипед, два мальчика,
            ветряная мельница
        """),
        _words("у реки, в узком переулке, на деревенской площади, в саду, на кухне, на вокзале, в порту, на опушке леса, на чердаке, под мостом"),
        _words("масло, акварель, карандашный рисунок, чёрно-белая фотография, утренний свет, туман, тёплые тона, зимой, крупный план, ночью"),
    ),
    "Japanese": (
        _words("""
            年老いた漁師, 傘を持つ女性, 眠っている犬, 青い急須, りんごの籠, 錆びた自転車, 小さな木の家, 遊んでいる二人の子供, ふくろう,
            野菜の屋台
        """),
        _words("川辺, 細い路地, 村の広場, 庭, 台所, 駅のホーム, 港, 森の小道, 屋上, 橋の下, 雪の街"),
        _words("油絵, 水彩画, 鉛筆画, 白黒写真, 朝の光, 霧, 柔らかい色, 夕暮れ, クローズアップ, 夜"),
    ),
    "Chinese": (
        _words("年老的渔夫, 撑伞的女人, 睡着的狗, 蓝色的茶壶, 一篮苹果, 生锈的自行车, 小木屋, 两个玩耍的孩子, 猫头鹰, 一碗面条"),
        _words("河边, 狭窄的小巷, 村庄广场, 花园里, 厨房里, 火车站, 港口, 林间小路, 屋顶上, 桥下, 雪地里"),
        _words("油画, 水彩画, 铅笔素描, 黑白照片, 清晨的光线, 薄雾, 柔和的色彩, 黄昏, 特写, 夜晚"),
    ),
}

#: Written by hand: what the grammar does not say, in the ways in which people write prompts.
HAND_WRITTEN = (
    # two or three words
    "red umbrella",
    "sleeping donkey",
    "foggy harbor",
    "wooden spoons",
    "tired goalkeeper",
    "two teapots",
    "an empty swing",
    "ugly sweater",
    "flooded basement",
    "pancake breakfast",
    "android plumber",
    "snail race",
    "old brass trumpet",
    "moss on stone",
    "wet cobblestones",
    "a plain sandwich",
    "muddy football boots",
    "purple cauliflower",
    "paper lanterns",
    # captions
    "a man asleep on a night train, his hat over his eyes",
    "a girl teaching her grandfather to ride a skateboard",
    "three hens inspecting an open toolbox",
    "a half-built snowman at the edge of a parking lot",
    "a kitchen drawer full of things nobody needs",
    "a bus shelter with one broken pane, late November",
    "a baker carrying a tray of rolls through a side door",
    "a wedding table after everybody has left",
    "two plumbers arguing over a leaking pipe",
    "a heron standing on one leg next to a shopping cart",
    "a boy selling lemonade from an ironing board",
    "a bicycle with a milk crate tied to its rack",
    "someone's feet sticking out from under a tractor",
    "a row of beach huts in the off-season",
    "a woman in a blue coat crossing a frozen canal",
    "an elderly couple dancing in a launderette",
    "the back of a theater set, all ropes and plywood",
    "a cat that has just knocked over a pot of ferns",
    "a handful of screws and a lost earring",
    "a kite caught in a telephone line",
    "the inside of a piano seen through its open lid",
    "a soup kitchen on a rainy evening",
    "a stray dog following a postman",
    "an allotment garden with a shed made of old doors",
    "a glass of milk next to an unfinished letter",
    "twin sisters repairing the roof of a chicken coop",
    "the deck of a ferry at four in the morning",
    "a school corridor with wet coats on hooks",
    "a night watchman eating noodles from a lunch box",
    "an orange tractor stuck in a ditch",
    "five identical grey suitcases and a pink one",
    "a mountain shelter with frost on the inside of its window",
    # sentences
    "The tide has gone out and left a small blue boat lying on its side.",
    "A young doctor sits on the hospital steps and eats an apple before her shift begins.",
    "There is a hole in the fence, and behind it you can see a garden full of thistles.",
    "Nobody has cleaned this aquarium for weeks, but the fish seem not to mind.",
    "My neighbor keeps bees on the roof of his garage, and this is him with his smoker on a warm day in May.",
    "A long queue of people with umbrellas waits outside a small grey office building while a man in shirtsleeves walks past them whistling.",
    "Two children have built a fort out of sofa cushions and are defending it with wooden spoons.",
    "An astronaut waters a single tomato plant in a cramped greenhouse, with the lights turned down low.",
    "A lighthouse seen from a small plane, with a storm coming in from the left and one patch of sun on the water.",
    "In the middle of the picture stands an old pear tree, on the left a white goat, and on the right a ladder that leans against nothing.",
    "The photo was taken through a rainy windshield, so that the traffic lights are only blurred spots of red and green.",
    "An old wooden desk with a green lamp, a cup of cold tea, three pencils, a folded map without any writing and a sleeping dachshund underneath.",
    "It is early in the morning, the market is not open yet, and a woman arranges crates of plums under a striped awning while her son yawns.",
    "On top of a hill there is a tiny chapel with a crooked bell tower, and a path of flat stones leads up to it through yellow grass.",
    "A group of hikers in bright jackets has stopped to look at a cow that blocks the path and does not intend to move.",
    "The workshop smells of varnish, violins without strings hang from the ceiling, and a man with a magnifying glass bends over a bridge.",
    "Imagine a city where the streets are canals of fog and the people go to work in small balloons.",
    "A badly lit hallway, brown carpet, three closed doors, and under the last one a thin line of light.",
    "A fox and a crow share a piece of cheese on a park bench, both looking slightly embarrassed.",
    "Please paint a quiet pond with dragonflies, nothing else, mostly in greens.",
    # requests
    "I need a simple drawing of a snowplow for a children's room",
    "can you make a picture of a hedgehog who runs a post office",
    "show me what a market on the moon might look like",
    "draw a tree house with a rope bridge and a slide",
    "make it look like a faded photograph of a family picnic next to a small car",
    "something cozy with a fireplace and a sleeping dog",
    "a picture for my mother's birthday card, with sweet peas and a robin",
    # comma-separated prompts
    "portrait of a ferry captain, weathered face, wool cap, overcast light, 85mm, film grain",
    "cottage garden, hollyhocks, stone path, watercolor, loose brushwork, soft morning light",
    "abandoned swimming pool, cracked tiles, weeds, wide angle, muted colors, photorealistic",
    "android gardener, pruning roses, greenhouse, volumetric light, highly detailed, concept art",
    "mountain village at night, snow, warm windows, smoke from chimneys, digital painting",
    "bowl of ramen, steam, dark background, close-up, food photography, shallow depth of field",
    "bamboo grove, narrow path, mist, green light, tranquil, 35mm",
    "old tram, rainy street, reflections, neon signs, blue hour, cinematic",
    "elderly woman knitting, window light, oil painting, visible brush strokes, earth tones",
    "low poly fox, simple shapes, orange and teal, isometric, white background",
    "underwater ruins, shafts of light, school of silver fish, mysterious, matte painting",
    "desert caravan, long shadows, sand dunes, ochre, wide shot, painterly",
    "pixel art blacksmith shop, glowing furnace, night, 16-bit style",
    "cutaway drawing of a submarine, tiny crew, technical illustration, muted palette",
    "macro photo, dew on a spider web, bokeh, early morning, crisp",
    "still life, pewter jug, walnuts, half loaf of bread, dark background, dramatic side light",
    "clockwork owl, brass feathers, workshop bench, intricate, warm lamplight",
    "paper cutout, whale above a town, layered, soft shadows, pastel colors",
    "steampunk bakery, copper pipes, steam, cheerful, storybook illustration",
    "empty classroom, chairs on desks, late sun, dust, nostalgic, anime background",
    "linocut, three crows on a fence, black and white, bold lines",
    "abstract, overlapping arcs, grey and mustard, coarse paper texture, minimalist",
    "street photo, man carrying a double bass, crosswalk, harsh light, black and white",
    "ink drawing, harbor cranes, seagulls, lots of empty space",
    "knight resting under an apple tree, dented armor, late summer, romantic, gouache",
    "apartment balcony, tomato plants, laundry, hot afternoon, telephoto",
    "blue ceramic frog, glossy, white background, soft shadow, product photo",
    "rusty freight train, prairie, big sky, storm light, panorama",
    "a cabbage, studio lighting, black background, ultra detailed, 8k",
    "cyberpunk noodle stand, rain, crowd with umbrellas, magenta and green, detailed",
    # anime tags
    "1girl, short hair, brown hair, yellow raincoat, holding umbrella, bus stop, rain, from side",
    "1boy, glasses, messy hair, hoodie, sitting, train interior, looking away, evening",
    "no humans, scenery, rice field, telephone pole, summer, cumulonimbus cloud, blue sky",
    "2girls, school bag, walking, autumn leaves, scarf, smile, wide shot",
    "old man, apron, kitchen, cooking, steam, upper body, warm lighting",
    "1girl, armor, grey hair, braid, standing, ruins, cloudy sky, serious, full body",
    "cat, window, potted plant, sunlight, curtains, no humans, watercolor medium",
    "1boy, chef hat, holding bread, bakery, open mouth, freckles, simple background",
    "1girl, long_hair, black_hair, green_kimono, garden, looking_at_viewer, holding_fan",
    "android, flower field, sitting, bird on shoulder, monochrome, sketch",
    "multiple people, festival, lanterns, night sky, street, from above",
    "1girl, lab coat, green hair, holding cup, messy room, monitor, tired",
    # German
    "ein Bäcker trägt ein Blech mit Brötchen durch die Hintertür",
    "verregneter Bahnsteig bei Nacht, eine einzelne Laterne, Schwarzweißfoto",
    "Auf der Wiese hinter dem Haus steht ein alter Traktor, und auf dem Sitz schläft eine Katze.",
    "zwei Gartenstühle im Schnee",
    # French
    "une ruelle après la pluie, des volets bleus, un chat sur le mur, aquarelle",
    "Un garçon pousse une brouette pleine de citrouilles vers la grange.",
    "nature morte, carafe d'eau, trois figues, lumière rasante",
    # Spanish
    "una cocina pequeña con azulejos verdes y una olla al fuego",
    "dos ancianos juegan al dominó bajo un limonero, luz de tarde",
    "un faro en la niebla, carboncillo",
    # Italian
    "un cortile con biciclette e gerani, luce di mezzogiorno",
    "una barca a remi tirata in secco, acquerello, colori tenui",
    "Il falegname controlla una sedia a tre gambe nella sua bottega.",
    # Portuguese, Dutch, Polish, Swedish, Turkish
    "um elétrico parado numa rua íngreme, manhã cinzenta",
    "een boer met twee emmers melk, mist, olieverf",
    "stary sad jabłoniowy o świcie, mgła, akwarela",
    "en röd stuga vid en sjö, sen höst, blyertsteckning",
    "yağmurda bekleyen bir simitçi, suluboya",
    # Russian, Ukrainian, Japanese, Chinese, Korean, Arabic
    "деревянный мост через ручей, осень, акварель",
    "бабушка вяжет у окна, на подоконнике герань",
    "садок вишневий після дощу, олійні фарби",
    "雨の日のバス停、黄色い傘、水彩画",
    "屋台でラーメンを食べる会社員, 夜, 湯気",
    "窗台上的一盆薄荷，清晨，柔和的光线",
    "老人在公园里下棋，秋天，油画",
    "시골 버스 정류장, 눈 오는 저녁, 수채화",
    "قارب صيد صغير عند الفجر، ألوان مائية",
    # as people type
    "cute baby hippo wearing tiny boots lol",
    "castle made out of bread, realistic",
    "my grandpas garage but its an underwater cave",
)
