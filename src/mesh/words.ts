/**
 * The words that a mesh's secret is made of: 2048 (11 bits each), three to seven letters, no two alike in their first four
 * letters, so four letters of each are enough to type. The order is part of nothing; the words are: changing one shuts
 * out every note on which it was written.
 */
const TEXT = `
able about above absent absorb acid acorn acre across act adapt add adjust admire adopt adult advice afar
afford after again age agent agree ahead aim air aisle alarm album alert algae alien align alike alive alley
allow almond aloft alone aloud alpine also alter always amaze amber amend ample amuse anchor angle animal
ankle annex answer antler anvil apart apple apron arch arctic area arena argue arise armor aroma around
array arrow artist ascend ash aside ask aspen assist atlas atom attic audio aunt autumn avenue average avid
avoid awake award away awning axis axle azure baby back bacon badge bagel bait baker balance balm bamboo
banana band banjo bank banner barber bark barley barn barrel basalt base basil basket batch bath baton bay
beach bead beam bean bear beaver become bed beech beetle before begin behind being belief bell below belt
bench bend benefit berry best better between beyond bicycle bike bind birch bird bishop bitter black blade
blank blaze blend blink block bloom blossom blot blouse blue bluff blunt board boat body bold bolt bonfire
bonus book boot border borrow boss both bottle bounce bowl box boy brace brain brake branch brass brave
bread breeze brick bridge brief bright brim bring brisk broad bronze brook brother brown brush bubble bucket
budget buffalo bugle build bulb bulk bumper bunch bundle burrow bus bush busy butter buyer buzz cabin cable
cactus cafe cage cake calcium calf call calm camel camp canal candle canoe canvas canyon cape car carbon
card cargo carpet carrot carve case cash castle cat cattle caution cave cedar celery cell cement census
center cereal chain chalk chance chapel charm chase cheap check cheese chef cherry chess chief child chip
choice choose chorus chunk cider cinema circle citrus city civil claim clamp clap class clay clean clerk
clever click cliff climb clinic clip cloak clock cloth cloud clover club clue coach coal coast coat cobalt
cocoa code coffee coil coin cold collar column comb comedy common company concert cone connect cook cool
copper copy coral cord core cork corn cosmos cotton cough couple courage cousin cover coyote cozy crab
cradle craft crane crater crayon cream credit creek crest crew crisp critic crop cross crow cruise crumb
crust crystal cube cuckoo culture cumin cup curb cure curious curve cushion custom cycle daily dairy daisy
damp dance daring dash data date dawn day deal debate decade deck decor deep deer defend degree delay
delight delta demand depart depend depot depth derive desert design desk detail develop device dial diary
diesel diet differ digit dinner dip direct disc dish display ditch dive divide dock doctor dog dollar
dolphin domain dome donate donkey donor door dose dot double dough dove down dozen draft dragon drama draw
dream dress drift drill drink drive drop drum dry duck dune during dusk dust duty dwell dynamo each eager
eagle early earn earth ease east easy echo eclipse edge edit effort egg eight either elastic elbow elder
elect elegant elevate elk elm else ember emblem embrace emerald employ empty enable enact end energy engine
enhance enjoy enough ensure enter entire entry epic episode equal equip era erase errand escape essay estate
etch evening ever evident evolve exact excite exhibit exist exit expand expert express extra fabric face
factor fade faint fair faith falcon fall fame family fancy far farm fast father faucet fault favor feast
feather fee feed feel fellow felt fence fern ferry fetch fever few fiber fiction fiddle field fifteen fig
figure file film filter final finch find fine finger finish fire firm first fish fit five fix flag flake
flame flap flash flat flavor flax fleet flight flint float flock flood flow fluid flute fly foam focus fog
foil fold follow font food foot forest forge fork form fort forum forward fossil found fox fragile frame
fresh friend fringe frog front frost fruit fudge fuel full fun funnel furnace furrow future gadget gain
galaxy gale gallery game gap garage garden garlic garment gas gate gather gauge gaze gear gecko gem general
genius gentle genuine gesture giant gift giggle ginger giraffe girl give glacier glad glance glass gleam
glide glimpse globe gloom glory glove glow glue goal goat gold golf good goose gorge govern grab grace grade
grain grammar grand grape grass gravel gray great green grid grill grip grocer groove group grove grow guard
guess guide guitar gulf gull gum gust gutter gym gypsum habit hail hair half hall halo hammer hand happy
harbor hard harmony harp harvest hat hatch haul have hawk hay hazel head health heap hear heat heavy hedge
height helium hello helmet help hemp hen herb hero hexagon hidden high hike hill hint hip hire hobby hockey
hold hole holiday hollow home honey hood hoof hook hop hope horizon horn horse host hotel hour house hover
hub huge human humble humor hundred hunger hurdle hurry husk hut hybrid hymn ice icon idea idle igloo ignite
image impact import impress impulse inch include income index indoor infant inform inhabit initial inject
ink inlet inner input inquire insect inside inspire install intact into invest invite involve inward iris
iron island isolate item ivory ivy jacket jade jaguar jam jar javelin jaw jazz jeans jelly jersey jet jewel
jigsaw job jockey join joke jolly joy judge juggle juice july jumbo jump june jungle junior just kale kayak
keen keep kelp kennel kernel kettle key kick kid kiln kind king kiosk kit kitchen kite kitten kiwi knee
knife knob knock koala label labor lace ladder lady lagoon lake lamb lamp lance land lane lantern lap large
lark laser last late laugh launch lava lawn layer lead leaf league lean learn lease leather leave lecture
ledge left legal legend leisure lemon lend length lens lentil lesson letter level liberty library lichen lid
lift light like lilac lily lime limit linen link lion liquid list litter live lizard load loaf lobby lobster
local lock locust lodge loft logic lonely long look loop loose lotus loud lounge love low loyal lucky
luggage lumber lunar lunch lung lupin lush luxury lyric macro magic magnet maid mail main major make mallet
mammal mango manner mansion mantle manual maple marble march margin marine market marsh mask mason mast
match mate math matrix matter may maze meadow meal mean medal medium meet mellow melody melt member memory
mend menu merge merit merry mesh metal meteor method metro middle might migrate mild milk mill mimic mind
minor mint minute miracle mirror misty mitten mix mobile model moist molar moment monday money monitor month
moon moose moral morning mosaic moss most motel moth motor mount mouse mouth move movie much mud muffin mug
mule mural muscle museum music mustard mutual myrtle mystery myth nail name napkin narrow nation nature navy
near neat nebula neck nectar need neither nephew nerve nest nettle network neutral never next nickel night
nimble nine noble nod noise nomad noodle noon normal north nose note notice novel now nozzle number nurse
nut nutmeg nylon oak oar oasis oat obey object oblige oboe observe obtain occur ocean october odd offer
office often oil okay olive omega omelet once onion online only onward opal open opera opinion oppose optic
oracle orange orbit orchard order organ orient origin osprey ostrich other otter ounce outdoor oval oven
over owl owner oxide oxygen oyster ozone pace pack paddle page paint palace palm pan panda panel panic pansy
panther paper parade parcel parent park parrot part pass paste patch path patient patrol pause pave pawn pea
peace peak peanut pear pebble pecan pedal peel pelican pen pencil penguin people pepper perch perfect permit
person pet petal phase phone photo phrase piano pick picnic picture pig pigeon pilgrim pilot pinch pine pink
pioneer pipe pitch pivot pixel pizza place plain planet plate play plaza pledge plenty plot plow plug plum
pocket poem poet point polar pole polish polka pollen polo pond pony pool poplar poppy porch port postage
potato pouch pound powder power prefer present pretty price pride print prism prize produce profit program
project promise proof proper protect proud provide public pudding pulley pulse pump punch pupil puppet
purple purse push put puzzle pyramid quail quake quarry queen query quest quick quiet quill quince quiz
quota rabbit raccoon race rack radar radio raft rail rain raise rally ramp ranch random range rapid rare
rather raven ravine raw razor reach ready real reason recall recipe record recycle red reduce reed reef
reform refuse region regret regular rejoice relax relief rely remain remedy remind remote render renew rent
reopen repair repeat reply report rescue resin resort rest result retail retire return reunion reveal review
reward rhubarb rhyme rhythm ribbon rice rich ride ridge rift right rigid ring rinse ripple rise rival river
road roast robe robin robot robust rock rod roll roman roof rook room root rope rose rotate rough round
rover row royal rubber ruby rudder rug ruin rule rumble run rural rush rustic rye sack saddle safari safe
saffron saga sage sail salad salmon salon salt salute same sample sand sapling satin sauce sauna sausage
save savor saw scale scan scarf scatter scholar scissor scoop score scout scrap screen script scrub sculpt
sea search season seat second secret section secure sedge see seed seek segment select self seminar senior
sense sequel series service sesame session set settle seven shade shaft shallow shape share shawl shear shed
sheep shelf sherbet shield shift shine ship shirt shoal shoe shop shore shovel show shrimp shrub shuffle
shut shy sibling side sieve sift sight sign silent silk silver similar simple since singer siren sister
situate six size skate sketch ski skill skin skip skirt skull sky slab sled sleep slice slide slight slim
slogan slope slot slow small smart smell smile smith smoke smooth snack snail snake snap sneeze snow soap
soccer social sock soda sofa soft soil solar soldier solid solo solve some sonar song soon sorrel sort soul
sound soup source south soy space spade spare speak special speed spell sphere spice spider spin spiral
splash split sponge spoon sport spot spray spread spring sprout spruce spur square squid stable stadium
staff stage stair stamp stand star state stay steady steel stem step stereo stick still stir stitch stock
stone stool stop store stove strap stream string stroll studio stuff stumble sturdy style submit subway
success such sudden suffix sugar suggest suit sulfur summer sun sunny sunset super supply sure surface
survey sustain swallow swamp swan swap sweater sweet swift swim swing switch sword symbol syrup system table
tackle tactic tadpole tailor take talent talk tall tame tan tandem tank tape target tariff tart task taste
tavern taxi tea teach teal team teapot tease temple ten tenant tender tennis tent term terrace test text
thank that thaw theater theme theory thermal thick thimble thing third thistle thorn thought thread thrive
throw thumb thunder thyme ticket tide tidy tie tiger tight tile timber time tin tinder tiny tip tissue title
toad toast today toe toffee toilet token tomato tone tongue tonic tool tooth top topaz topic torch tornado
total touch tour towel town toy track trade trail tram trap travel tray treat tree trek trend tribe trick
trim trio trip trophy truck true trumpet trunk trust try tuba tube tuesday tug tulip tumble tuna tundra tune
tunnel turkey turn turtle tutor twelve twenty twig twin twist typical unable uncle uncover under unfold
uniform union unit unknown unless unlock until unusual unveil update uphill uphold upland upon upper upright
upset urban urge urn useful usher usual utility utmost vacant vacuum vague valid valley value valve vanilla
vapor various vast vault vector velvet vendor venture verb verify verse very vessel vest veteran viaduct
victory video view vine vintage violet virtue visit visual vital vivid vocal voice void volcano volume vote
vowel voyage wade waffle wage wagon wait wake walk wall walnut waltz wander want warbler ward warm wash wasp
watch water wave wax wealth wear weasel weather weave web wedge week well west wet whale wharf wheat wheel
when where white wide width wild will win wind wine wing winner winter wire wisdom wise wish witness wolf
woman wonder wool word work world worm worth wrap wreath wrestle wrist write yacht yak yard yarn yawn year
yeast yellow yes yield yoga yogurt young yule zebra zenith zephyr zero zest zigzag zinc zipper zodiac zone
zoo zoom
`

export const WORDS: readonly string[] = TEXT.trim().split(/\s+/)
