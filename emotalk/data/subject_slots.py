"""Subject slots: the subject indices of the network, and the speakers that are trained with them."""

import pandas as pd

from emotalk.config.corpus import PairSettings
from emotalk.data.names import NUM_ACTORS, parse_ravdess
from emotalk.errors import CorpusError
from emotalk.subjects import MAX_SUBJECT_SLOTS, NUM_RELEASED_SLOTS


def assign_slots(clips: pd.DataFrame, settings: PairSettings, num_slots: int) -> tuple[pd.Series, dict[str, int]]:
    """Assign a subject slot to each clip.

    Speakers of the corpora in `settings.shared_slot_corpora` and unknown speakers have the slot
    `settings.unlabelled_subject`. Otherwise, actors of RAVDESS, which are recognized by the name of the corpus or of
    their recordings, have the slot of their number minus 1, also if they are held out. Each other training speaker has
    a slot of its own; other held-out speakers have `settings.unlabelled_subject`.

    Parameters
    ----------
    clips
        Columns `corpus`, `recording_id`, `subject` and `split`.
    num_slots
        Number of subject slots of the network.

    Returns
    -------
    slots
        Subject index of each clip, int8.
    names
        Slot of each training speaker that does not share it, by `<corpus>/<subject>`.

    Raises
    ------
    CorpusError
        If more speakers need a slot than slots are free.
    """
    is_train = clips["split"] == "train"
    is_unknown = clips["subject"].isna() | (clips["subject"] == "unknown")
    is_shared = is_unknown | clips["corpus"].isin(settings.shared_slot_corpora)
    number = pd.to_numeric(clips["subject"], errors="coerce")
    is_ravdess = (clips["corpus"] == "RAVDESS") | clips["recording_id"].map(parse_ravdess).notna()
    actor = (number - 1).where(is_ravdess & ~is_shared & number.between(1, NUM_ACTORS))
    names = clips["corpus"] + "/" + clips["subject"].fillna("unknown")
    has_own_slot = is_train & actor.isna() & ~is_shared
    used = {int(slot) for slot in actor[is_train].dropna()}
    if (is_train & actor.isna() & is_shared).any():
        used.add(settings.unlabelled_subject)
    free = [slot for slot in range(num_slots) if slot not in used]
    speakers = sorted(names[has_own_slot].unique())
    if len(speakers) > len(free):
        shared = ", ".join(sorted(set(settings.shared_slot_corpora) | set(clips["corpus"][has_own_slot])))
        needed = num_slots + len(speakers) - len(free)
        larger = (
            f"Or set model.num_subject_slots to {needed}; the released EmoTalk code cannot load weights with more than "
            f"{NUM_RELEASED_SLOTS} slots. "
        )
        raise CorpusError(
            f"{len(speakers)} speakers need a subject slot ({', '.join(speakers[:5])}, …), and {len(free)} of the "
            f"network's {num_slots} slots are free. Let the speakers of a corpus share one slot: set "
            f"pair.shared_slot_corpora to [{shared}]. {larger if needed <= MAX_SUBJECT_SLOTS else ''}Or hold out or "
            "leave out speakers."
        )
    assigned = dict(zip(speakers, free, strict=False))
    own = names.map(assigned).where(~is_shared)
    slots = actor.fillna(own).fillna(settings.unlabelled_subject).astype("int8")
    is_actor = is_train & actor.notna()
    actors = dict(zip(names[is_actor], actor[is_actor].astype(int).tolist(), strict=True))
    return slots, actors | assigned
