from tests.authorization.test_matrix import *  # noqa
from tests.authorization.test_matrix import world, matrix, judged, REST, PAGES
MINE = ("withdraw", "beneficiar", "desk-funding")
for _name in [n for n in dir() if n.startswith("test_")]:
    del globals()[_name]

def test_mine(world):
    rows = {name: row for name, row in {**REST, **PAGES}.items() if any(word in name for word in MINE)}
    print(sorted(rows))
    judged(*matrix(rows, world, set()), at_least=100)
