"""How to read a report: the words that everything else uses."""

from __future__ import annotations

from .content import Content, Definitions, Detailed, Line, Run, Section, Strong
from .content.wording import number
from .peer_readings import yardstick

STATUSES = {
    "ADAPTIVE": "attackers who know the defense searched for its weak point and planned ahead; believe the number "
    "until somebody finds a stronger attack.",
    "UPPER_BOUND": "some of these attacks are missing, so the defense may be weaker than its number says.",
    "SUSPECT": "a check of the experiment itself failed; find out why before you believe the number.",
    "CONFIG_INVALID": "the defense cannot be used with so many malicious clients, which counts as keeping nothing.",
}
"""What each status means for somebody who has never seen one."""


def _of_run(run: Run) -> Content:
    peers = bool(run.worlds) and all(yardstick(world) is not None for world in run.worlds)
    entries: dict[str, Line] = {
        "The experiment": (
            "Peers train a model each, send it to their neighbours, and mix what they get, without a server. Some of "
            "them are malicious and send models made to spoil those of others. A rule of mixing is a "
            if peers
            else "Clients train a model together. Some of them are malicious and send updates made to spoil it. The "
            "server combines all updates with a ",
            Strong("defense"),
            ". Each defense meets each ",
            Strong("attack"),
            ", with more and more malicious clients, always on the same data, starting weights and seeds.",
        ),
        "Utility: what is left of the model": (
            "1 is the test accuracy of plain averaging when nobody attacks, 0 is what guessing reaches without a look "
            "at the sample. By default accuracy is balanced: every class counts the same. 0.8 means that four fifths "
            "of what training gains over guessing was kept."
        ),
        "Worst case": (
            "An attacker picks the attack that hurts most. So with a given number of malicious clients a defense is "
            "worth what it keeps under the strongest attack, not under the average one. An attack made for other "
            "messages than a defense’s clients send (rankings instead of updates, say), or for other defenses, is not "
            "played against it: such cells are marked n/a and do not count."
        ),
        "Resilience: the number that ranks": (
            "The worst-case utility, averaged over the attacked shares of malicious clients (the area under the curves "
            "below, from the smallest number of attackers on; with one such number, the worst case there). 1 would be "
            "a defense that nothing harms. What it keeps where nobody attacks stands beside, as “undisturbed”."
        ),
        "What attackers know": (
            "Every attacker may know the defense and how it is set. Beside it they know their own data alone, or see "
            "the honest updates as well, or everything, the data of honest clients included. One who knows more can "
            "play every attack of one who knows less, so the numbers fall from column to column. Pick the column of "
            "the attackers that you expect. A dash: no attack of that kind was played."
        ),
        "Survives": (
            "The largest number of malicious clients up to which the worst-case utility stays at "
            f"{number(run.limit)} or above."
        ),
        "Intervals and ranks": (
            "Whiskers are 95% intervals over the seeds. The worst case is the smallest of several noisy means, and "
            "where attacks are nearly equal it is too low on average; the interval allows for that, and so do the "
            "ranks: a defense ranks behind another only if that one, at its own worst attack, is better over the same "
            "seeds than this one’s estimate that errs upwards. Otherwise they cannot be told apart. Fewer than three "
            "seeds have no interval of a worst case. With few seeds, an outcome that happens in one of four may never "
            "have been seen."
        ),
    }
    if peers:
        entries["Alone"] = (
            "What peers reach who train for as long and hear nobody. A network is worth what it adds to that, for its "
            "worst peer as well as in the mean."
        )
    told = {row["status"] for row in run.ranking if "status" in row}
    if told:
        entries["How hard each defense was tested"] = (
            "A number holds for the attacks that were tried, so each defense has a status. ",
            *(part for name in STATUSES if name in told for part in (Strong(name), f": {STATUSES[name]} ")),
            "The reasons stand in the section below the ranking.",
        )
    return Content(title="How to read this", blocks=(Detailed(full=(Definitions(entries=entries),)),), fold="open")


GUIDE = Section(key="guide", of_run=_of_run)
