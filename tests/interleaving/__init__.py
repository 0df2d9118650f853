"""Every interleaving of what goes on at once in a small town, within bounds, checked after each step.

The code of `matching` runs as it is, over its ports in memory. Each call to a port (`RequestBook`, `VolunteerIndex`,
`Listings`, `Herald`, whatever its methods) is a *stop*: the task waits there until the explorer lets it on; then the
call happens as one transaction, and the task runs on to its next stop, with nothing else between, as on a node. Tasks
are asyncio's own, on a loop that knows no time (`loop.py`), so locks and `gather` are real.

A *scenario* (`scenarios.py`) sets a scene of two or three requests, three volunteers and two nodes, and names the parts
that go on at once: an accept through node A, a look by node B, time passing, Valkey losing everything. The explorer
(`explore.py`) tries, depth first,

- every order of whole parts, and with up to two *preemptions* every order in which a part is stopped halfway for
  another one (going on with whoever comes next when a part is done, or waits for a lock, costs nothing);
- every place at which one part *crashes*: it is dropped, and nothing after that point happens;
- every message (accept, decline, acknowledgement, cancellation, opening, the end of a call) *twice*: the second one
  comes through the other node, at any time after the first has begun, however late;
- for every end it comes to, two *aftermaths* (`aftermath.py`): time passes, nodes do what they always do, and nobody
  answers, or everybody does.

A state met before with as much left of the bounds is not gone on from: states are told apart by a hash of all
that outlives a node and of all results that tasks have had. Should an invariant not hold, the failure tells the steps
and one line that replays them:

    python -m tests.interleaving "two-accepts[yes0']: yes0*2 yes1! yes0'*3"

`yes0` is let on (`*2`: twice; `yes0.1`: at the second stop it stands at), `yes1!` is dropped, `yes0!!`: its node
dies with all it had begun. `python -m tests.interleaving` explores all scenarios and prints how many schedules that
were; names of scenarios after it explore those.

Beyond these bounds (more requests, people, nodes, preemptions, crashes, time) schedules are drawn at random, with
Hypothesis (`test_at_random.py`). Bugs seeded into copies of the code show that this finds them (`seeded.py`).

| | invariant | here, after each step unless said otherwise | elsewhere |
|---|---|---|---|
| 1 | one winner; no two live calls, no two live offers | `one_winner`, `nobody_twice` | contract, chaos |
| 2 | what has not ended has a due look, and ends | `looks_are_due`; aftermaths | calls: unit/signaling |
| 3 | who is away comes back | `everybody_returns`; aftermaths | contract (index), integration |
| 4 | stale epochs change nothing, what ended has ended | `the_past_stands`, `promises_hold` | unit |
| 5 | no offer to the blocked or paused, or after the end | `offers_are_allowed` | windows: unit, contract |
| 6 | offers end once; who was told is told the end | `the_past_stands`, `rings_are_true`; aftermaths | contract |
| 7 | no overtaking | `overtaking.py` (groups and desks left out) | unit, simulation |
| 8 | what was acknowledged stays | `promises_hold`; crashes and wipes of Valkey in schedules | chaos: kill, freeze |
| 9 | no ring after its expiry | phones drop what is late; not more can be seen here | unit and integration (pushes) |
| 10 | turns go round | aftermaths: no request expires beside somebody unasked | simulation, contract |
"""
