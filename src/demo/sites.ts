// The publisher network of the sample traffic: five sites, their sections with the ids of the IAB Content Taxonomy 3.1, and what is in them.
// The sources of the shipped config/sources.yaml are these.

export type Section = {
  /** The beginning of its pages' paths; its last part is also a keyword of them. */
  readonly folder: string
  readonly category: string
  /** How much of its site's traffic comes here for no special interest. */
  readonly share: number
  readonly pages: readonly string[]
}

export type Site = {
  readonly source: string
  readonly host: string
  /** How much of the network's traffic comes here for no special interest. */
  readonly share: number
  readonly sections: readonly Section[]
}

const section = (folder: string, category: string, share: number, pages: string): Section => ({
  folder,
  category,
  share,
  pages: pages.split(' '),
})

/** The shop's pages are its products; prices in cents. */
export const PRICES: ReadonlyMap<string, number> = new Map(
  Object.entries({
    'trail-runner-three': 11_990,
    'city-sneaker-white': 7_990,
    'winter-boot-oslo': 15_900,
    'yoga-mat-cork': 4_490,
    'dumbbell-set': 8_900,
    'bike-helmet-lumen': 6_950,
    'carry-on-forty': 14_900,
    'packing-cubes': 2_490,
    'neck-pillow': 1_990,
    'cast-iron-pan': 5_990,
    'stand-mixer-classic': 34_900,
    'espresso-maker-duo': 22_900,
    'smart-bulb-kit': 4_990,
    'robot-vacuum-nine': 39_900,
    'fitness-watch-lite': 12_900,
    'noise-free-headphones': 19_900,
  }),
)

export const SHOP: Site = {
  source: 'shop',
  host: 'shop.example',
  share: 4,
  sections: [
    section('products/shoes', '589', 3, 'trail-runner-three city-sneaker-white winter-boot-oslo'),
    section('products/sports', '551', 2, 'yoga-mat-cork dumbbell-set bike-helmet-lumen'),
    section('products/travel', '654', 2, 'carry-on-forty packing-cubes neck-pillow'),
    section('products/kitchen', '278', 3, 'cast-iron-pan stand-mixer-classic espresso-maker-duo'),
    section('products/smart-home', '277', 2, 'smart-bulb-kit robot-vacuum-nine'),
    section('products/wearables', '637', 2, 'fitness-watch-lite noise-free-headphones'),
  ],
}

export const TRAVEL: Site = {
  source: 'travel',
  host: 'travel.example',
  share: 2,
  sections: [
    section('guides/europe', '659', 4, 'three-days-in-lisbon alps-by-train porto-on-a-budget riga-old-town'),
    section('guides/asia', '657', 2, 'kyoto-in-autumn street-food-hanoi island-hopping-palawan'),
    section('guides/beaches', '673', 3, 'quiet-coves-of-sardinia best-beaches-algarve winter-sun-canaries'),
    section('stays/hotels', '668', 3, 'small-hotels-vienna family-rooms-compared hotels-with-a-view'),
    section('flights', '672', 2, 'when-to-book hand-luggage-rules night-flights'),
    section('ideas/family', '666', 2, 'camping-with-toddlers theme-parks-off-season'),
    section('ideas/rail', '669', 1, 'night-trains-of-europe interrail-at-forty'),
  ],
}

export const AUTOS: Site = {
  source: 'autos',
  host: 'autos.example',
  share: 3,
  sections: [
    section('tests/suv', '6', 4, 'five-suvs-compared seven-seats-for-less the-new-ridgeline'),
    section('tests/compact', '11', 3, 'small-cars-big-boots city-hatchbacks used-hatchback-check'),
    section('electric', '22', 6, 'range-in-winter charging-at-home first-drive-volta-e cheapest-electric-cars'),
    section('tests/luxury', '23', 1, 'silent-saloons a-week-in-a-coupe'),
    section('buying', '30', 3, 'lease-or-buy what-your-car-is-worth dealer-talk'),
    section('insurance', '31', 1, 'third-party-or-full no-claims-explained'),
    section('repair', '34', 1, 'winter-tyres-when brake-pads-yourself'),
    section('motorcycles', '27', 1, 'first-big-bike touring-norway'),
  ],
}

export const SITES: readonly Site[] = [
  {
    source: 'news',
    host: 'news.example',
    share: 5,
    sections: [
      section('politics', '386', 4, 'coalition-talks-continue budget-vote-tonight mayor-steps-down new-school-law'),
      section('money', '391', 3, 'rates-held-again saving-for-a-flat pension-questions energy-bills-fall'),
      section('sport/football', '533', 4, 'late-equaliser-in-derby cup-draw transfer-window-opens women-reach-final'),
      section('sport/tennis', '539', 1, 'five-set-thriller young-guns-of-clay'),
      section('sport/cycling', '492', 1, 'sprint-in-the-rain mountain-stage-preview'),
      section('tech', '596', 3, 'phones-of-the-year how-models-learn laptops-for-students a-week-without-apps'),
      section('science', '464', 2, 'water-on-small-moons the-oldest-forest'),
      section('weather', '390', 3, 'first-frost-tonight storm-warning-north'),
      section('film', '324', 2, 'festival-winners ten-films-for-rainy-days'),
    ],
  },
  AUTOS,
  TRAVEL,
  {
    source: 'food',
    host: 'food.example',
    share: 3,
    sections: [
      section('recipes/quick', '216', 4, 'one-pan-gnocchi twenty-minute-curry tomato-soup-again'),
      section('recipes/baking', '217', 4, 'plum-cake no-knead-bread lemon-tart cinnamon-knots'),
      section('recipes/vegan', '212', 2, 'lentil-stew smoky-aubergine chickpea-pancakes'),
      section('recipes/world', '214', 2, 'pho-at-home tacos-al-pastor shakshuka'),
      section('recipes/grill', '215', 1, 'smoked-brisket grilled-halloumi'),
      section('places', '218', 2, 'new-tables-in-town breakfast-all-day'),
    ],
  },
  SHOP,
]
