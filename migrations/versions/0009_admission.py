"""Ways to give places, pools, offers, draws; what the database itself refuses about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Column, then type and constraints. {instant}: the engine's type of an instant; {late}: NOT NULL once old rows have a value.
PROJECT = (
    "daily_limit INTEGER CONSTRAINT ck_project_daily_limit_positive CHECK (daily_limit IS NULL OR daily_limit >= 1)",
    "weekly_limit INTEGER CONSTRAINT ck_project_weekly_limit_positive CHECK (weekly_limit IS NULL OR weekly_limit >= 1)",
)
ACTIVITY = (
    "applied INTEGER DEFAULT 0 NOT NULL CONSTRAINT ck_activity_applied_not_negative CHECK (applied >= 0)",
    "held INTEGER DEFAULT 0 NOT NULL CONSTRAINT ck_activity_held_within_waiting CHECK (held BETWEEN 0 AND waiting)",
    (
        "admission_mode VARCHAR(32) DEFAULT 'first_come' NOT NULL"
        " CONSTRAINT ck_activity_admission_mode CHECK (admission_mode IN ('first_come', 'review', 'lottery'))"
    ),
    "drawn BOOLEAN DEFAULT false NOT NULL",
    "offers_from_at {instant} {late}",
    (
        "queue_closes_at {instant} {late} CONSTRAINT ck_activity_queue_times_in_order"
        " CHECK (offers_from_at <= queue_closes_at AND queue_closes_at <= starts_at)"
    ),
    "offer_minutes INTEGER DEFAULT 120 NOT NULL CONSTRAINT ck_activity_offer_minutes_positive CHECK (offer_minutes >= 1)",
    "quiet_from INTEGER DEFAULT 1320 NOT NULL CONSTRAINT ck_activity_quiet_from_in_day CHECK (quiet_from BETWEEN 0 AND 1439)",
    (
        "quiet_until INTEGER DEFAULT 480 NOT NULL"
        " CONSTRAINT ck_activity_quiet_until_in_day CHECK (quiet_until BETWEEN 0 AND 1439)"
    ),
    "pools_merge_at {instant}",
    (
        "pools_merged BOOLEAN DEFAULT true NOT NULL"
        " CONSTRAINT ck_activity_pools_have_an_end CHECK (pools_merged OR pools_merge_at IS NOT NULL)"
    ),
    "overlap VARCHAR(32) DEFAULT 'warn' NOT NULL CONSTRAINT ck_activity_overlap CHECK (overlap IN ('allow', 'warn', 'refuse'))",
    "excuse_until_at {instant} {late} CONSTRAINT ck_activity_excuse_by_start CHECK (excuse_until_at <= starts_at)",
    "late_minutes INTEGER DEFAULT 15 NOT NULL CONSTRAINT ck_activity_late_minutes_not_negative CHECK (late_minutes >= 0)",
    (
        "presence_percent INTEGER DEFAULT 60 NOT NULL"
        " CONSTRAINT ck_activity_presence_percent_in_range CHECK (presence_percent BETWEEN 0 AND 100)"
    ),
    "requires_check_out BOOLEAN DEFAULT false NOT NULL",
)
SIGN_UP = (
    "starts_at {instant} {late}",
    "ends_at {instant} {late}",
    "rank INTEGER DEFAULT 1000000 NOT NULL CONSTRAINT ck_sign_up_rank_in_range CHECK (rank BETWEEN 1 AND 1000000)",
    "pool_mask INTEGER DEFAULT 0 NOT NULL",
    (
        "pool INTEGER CONSTRAINT ck_sign_up_pool_of_a_place CHECK (pool IS NULL OR state IN ('confirmed', 'offered'))"
        " CONSTRAINT ck_sign_up_pool_open_to_person CHECK (pool IS NULL OR (pool_mask >> (pool - 1)) & 1 = 1)"
    ),
    "joined_position INTEGER",
    "held_until {instant} CONSTRAINT ck_sign_up_held_in_queue CHECK (held_until IS NULL OR state = 'waitlisted')",
    "offered_at {instant}",
    (
        "offer_expires_at {instant} CONSTRAINT ck_sign_up_offered_has_expiry"
        " CHECK ((state = 'offered') = (offer_expires_at IS NOT NULL))"
    ),
    "updated_at {instant} {late}",
    (
        "cancel_cause VARCHAR(32) CONSTRAINT ck_sign_up_cancel_cause CHECK"
        " (cancel_cause IN ('left', 'excused', 'staff', 'declined', 'expired', 'queue_closed', 'released'))"
    ),
    "decided_at {instant}",
    "decided_by {id} CONSTRAINT fk_sign_up_decided_by REFERENCES person (id)",
    "decision_reason VARCHAR(200)",
)
CHECK_IN = (
    "arrived_at {instant} {late}",
    "left_at {instant} CONSTRAINT ck_check_in_left_after_arrival CHECK (left_at IS NULL OR left_at >= arrived_at)",
    "over_capacity BOOLEAN DEFAULT false NOT NULL",
    "updated_at {instant} {late}",
)
OLD_STATES = "'confirmed', 'waitlisted', 'cancelled'"
STATES = "'applied', 'refused', 'waitlisted', 'offered', 'confirmed', 'walk_in', 'cancelled'"
# What old rows get; {hours:N}: an instant N hours before the start.
FILL = (
    "UPDATE activity SET offers_from_at = {day_before}, queue_closes_at = {hour_before}, excuse_until_at = {hours_before}",
    (
        "UPDATE sign_up SET starts_at = (SELECT starts_at FROM activity WHERE id = activity_id),"
        " ends_at = (SELECT ends_at FROM activity WHERE id = activity_id),"
        " updated_at = coalesce(cancelled_at, promoted_at, created_at)"
    ),
    "UPDATE check_in SET arrived_at = coalesce(claimed_at, checked_in_at), updated_at = checked_in_at",
)
LATE = (
    ("activity", ("offers_from_at", "queue_closes_at", "excuse_until_at")),
    ("sign_up", ("starts_at", "ends_at", "updated_at")),
    ("check_in", ("arrived_at", "updated_at")),
)
INDEXES = (
    ("ix_activity_queue_closes_at", "activity", ("queue_closes_at",), None),
    ("ix_activity_pools_due", "activity", ("pools_merge_at",), "NOT pools_merged"),
    ("ix_sign_up_queue", "sign_up", ("activity_id", "rank", "seq"), "state = 'waitlisted'"),
    ("ix_sign_up_offers", "sign_up", ("offer_expires_at",), "state = 'offered'"),
    ("ix_sign_up_held", "sign_up", ("held_until",), "held_until IS NOT NULL"),
    ("ix_sign_up_queued", "sign_up", ("activity_id", "joined_position"), "joined_position IS NOT NULL"),
    ("ix_sign_up_person_id_ends_at", "sign_up", ("person_id", "ends_at"), None),
    ("ix_person_inactive", "person", ("id",), "status <> 'active'"),
)
OLD_INDEXES = (
    ("ix_sign_up_queue", "sign_up", ("activity_id", "seq"), "state = 'waitlisted'"),
    ("ix_sign_up_person_id_seq", "sign_up", ("person_id", "seq"), None),
)

# The counters of an activity and of its pools follow its sign-ups whoever writes them, so the CHECKs on the counters refuse an
# over-full activity or pool even to a direct INSERT. Nobody gets a place before somebody who stands ahead of them: who arrives stands at
# the end, and where somebody stands is given by review or draw alone. What has ended stays ended.
MAY_RANK = (
    "SELECT 1 FROM activity WHERE id = NEW.activity_id AND ("
    "admission_mode = 'review' AND OLD.state IN ('applied', 'refused', 'waitlisted')"
    " OR admission_mode = 'lottery' AND NOT drawn AND OLD.state IN ('applied', 'cancelled'))"
)
POSTGRESQL = (
    """
    CREATE OR REPLACE FUNCTION sign_up_count() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        places integer := 0;
        turns integer := 0;
        holds integer := 0;
        applications integer := 0;
        its_activity uuid := CASE WHEN TG_OP = 'INSERT' THEN NEW.activity_id ELSE OLD.activity_id END;
        its record;
    BEGIN
        IF TG_OP = 'UPDATE' AND (NEW.activity_id <> OLD.activity_id OR NEW.person_id <> OLD.person_id) THEN
            RAISE EXCEPTION 'a sign-up keeps its activity and its person' USING ERRCODE = 'check_violation';
        END IF;
        IF TG_OP <> 'DELETE' THEN
            places := (NEW.state IN ('confirmed', 'offered'))::integer;
            turns := (NEW.state = 'waitlisted')::integer;
            holds := (NEW.held_until IS NOT NULL)::integer;
            applications := (NEW.state = 'applied')::integer;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            places := places - (OLD.state IN ('confirmed', 'offered'))::integer;
            turns := turns - (OLD.state = 'waitlisted')::integer;
            holds := holds - (OLD.held_until IS NOT NULL)::integer;
            applications := applications - (OLD.state = 'applied')::integer;
        END IF;
        IF places <> 0 OR turns <> 0 OR holds <> 0 OR applications <> 0 THEN
            UPDATE activity SET taken = taken + places, waiting = waiting + turns, held = held + holds, applied = applied + applications
            WHERE id = its_activity
            RETURNING waiting - held AS ahead, pools_merged, queue_closes_at INTO its;
            IF places > 0 AND NOT its.pools_merged AND NEW.pool IS NULL THEN
                RAISE EXCEPTION 'a place is in a pool' USING ERRCODE = 'check_violation';
            END IF;
            IF places > 0 AND its.ahead > 0 AND (TG_OP = 'UPDATE' OR NEW.created_at < its.queue_closes_at) AND EXISTS (
                SELECT 1 FROM sign_up AS other
                WHERE other.activity_id = its_activity AND other.state = 'waitlisted' AND other.held_until IS NULL
                AND (TG_OP = 'INSERT' OR (other.rank, other.seq) < (OLD.rank, OLD.seq))
                AND (its.pools_merged OR (other.pool_mask >> (NEW.pool - 1)) & 1 = 1)
            ) THEN
                RAISE EXCEPTION 'somebody else is next in the queue' USING ERRCODE = 'check_violation';
            END IF;
            IF TG_OP = 'INSERT' AND turns > 0 THEN
                IF NEW.created_at >= its.queue_closes_at THEN
                    RAISE EXCEPTION 'the queue has closed' USING ERRCODE = 'check_violation';
                END IF;
                IF EXISTS (
                    SELECT 1 FROM sign_up AS other WHERE other.activity_id = its_activity AND other.state = 'waitlisted'
                    AND (other.rank, other.seq) > (NEW.rank, NEW.seq)
                ) THEN
                    RAISE EXCEPTION 'who arrives stands at the end of the queue' USING ERRCODE = 'check_violation';
                END IF;
            END IF;
        END IF;
        IF TG_OP = 'INSERT' AND NEW.rank <> 1000000 THEN
            RAISE EXCEPTION 'nobody arrives with a rank' USING ERRCODE = 'check_violation';
        END IF;
        IF TG_OP <> 'INSERT' AND OLD.pool IS NOT NULL THEN
            UPDATE activity_pool SET taken = taken - 1 WHERE activity_id = its_activity AND position = OLD.pool;
        END IF;
        IF TG_OP <> 'DELETE' AND NEW.pool IS NOT NULL THEN
            UPDATE activity_pool SET taken = taken + 1 WHERE activity_id = its_activity AND position = NEW.pool;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'a place is in a pool that there is' USING ERRCODE = 'check_violation';
            END IF;
        END IF;
        IF TG_OP = 'UPDATE' AND places = 0 AND OLD.pool IS NOT NULL AND NEW.pool IS NULL
            AND NOT (SELECT pools_merged FROM activity WHERE id = its_activity)
        THEN
            RAISE EXCEPTION 'a place is in a pool' USING ERRCODE = 'check_violation';
        END IF;
        IF TG_OP = 'UPDATE' AND OLD.state IN ('confirmed', 'walk_in') AND NEW.state NOT IN ('confirmed', 'walk_in')
            AND EXISTS (SELECT 1 FROM check_in WHERE sign_up_id = OLD.id)
        THEN
            RAISE EXCEPTION 'who was there keeps the place' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    "DROP TRIGGER sign_up_count ON sign_up",
    """
    CREATE TRIGGER sign_up_count
    AFTER INSERT OR DELETE OR UPDATE OF state, held_until, pool, activity_id, person_id ON sign_up
    FOR EACH ROW EXECUTE FUNCTION sign_up_count()
    """,
    f"""
    CREATE FUNCTION sign_up_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.state = 'cancelled' AND NEW.state <> 'cancelled' THEN
            RAISE EXCEPTION 'a sign-up that has ended stays so' USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.id <> OLD.id OR NEW.seq <> OLD.seq OR NEW.pool_mask <> OLD.pool_mask THEN
            RAISE EXCEPTION 'a sign-up keeps its arrival and its pools' USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.rank <> OLD.rank AND NOT EXISTS ({MAY_RANK}) THEN
            RAISE EXCEPTION 'a rank is given by review or draw' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER sign_up_keeps BEFORE UPDATE OF state, rank, id, seq, pool_mask ON sign_up
    FOR EACH ROW WHEN (
        OLD.state = 'cancelled' OR NEW.rank <> OLD.rank OR NEW.id <> OLD.id OR NEW.seq <> OLD.seq OR NEW.pool_mask <> OLD.pool_mask
    ) EXECUTE FUNCTION sign_up_keeps()
    """,
    # The sign-up is held: else one that ends at this moment would not be seen.
    """
    CREATE FUNCTION check_in_admitted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM 1 FROM sign_up WHERE id = NEW.sign_up_id AND activity_id = NEW.activity_id AND person_id = NEW.person_id
        AND state IN ('confirmed', 'walk_in') FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'nobody checks in without admission' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER check_in_admitted AFTER INSERT OR UPDATE OF sign_up_id, activity_id, person_id ON check_in
    FOR EACH ROW EXECUTE FUNCTION check_in_admitted()
    """,
    """
    CREATE FUNCTION activity_times() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE sign_up SET starts_at = NEW.starts_at, ends_at = NEW.ends_at WHERE activity_id = NEW.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER activity_times AFTER UPDATE OF starts_at, ends_at ON activity
    FOR EACH ROW WHEN (OLD.starts_at <> NEW.starts_at OR OLD.ends_at <> NEW.ends_at) EXECUTE FUNCTION activity_times()
    """,
    """
    CREATE FUNCTION activity_pools_merged() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE activity_pool SET merged = NEW.pools_merged WHERE activity_id = NEW.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER activity_pools_merged AFTER UPDATE OF pools_merged ON activity
    FOR EACH ROW WHEN (OLD.pools_merged <> NEW.pools_merged) EXECUTE FUNCTION activity_pools_merged()
    """,
    """
    CREATE FUNCTION pool_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF NEW.taken <> 0 THEN
                RAISE EXCEPTION 'a new pool is empty' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END IF;
        IF TG_OP = 'DELETE' THEN
            IF OLD.taken <> 0 THEN
                RAISE EXCEPTION 'a pool with places taken stays' USING ERRCODE = 'check_violation';
            END IF;
            RETURN OLD;
        END IF;
        IF OLD.taken <> 0 AND (NEW.activity_id <> OLD.activity_id OR NEW.position <> OLD.position) THEN
            RAISE EXCEPTION 'a pool with places taken stays' USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.merged <> (SELECT pools_merged FROM activity WHERE id = NEW.activity_id) THEN
            RAISE EXCEPTION 'pools are merged with their activity' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER pool_keeps BEFORE INSERT OR DELETE OR UPDATE OF activity_id, position, merged ON activity_pool
    FOR EACH ROW EXECUTE FUNCTION pool_keeps()
    """,
)
_NEW_PLACE = "(NEW.state IN ('confirmed', 'offered'))"
_OLD_PLACE = "(OLD.state IN ('confirmed', 'offered'))"
_MERGED = "(SELECT pools_merged FROM activity WHERE id = NEW.activity_id)"
_WAITING = (
    "SELECT 1 FROM sign_up AS other WHERE other.activity_id = NEW.activity_id AND other.state = 'waitlisted'"
)
_COULD_HAVE = (
    f"{_WAITING} AND other.held_until IS NULL AND ({_MERGED} OR (other.pool_mask >> (NEW.pool - 1)) & 1 = 1)"
)
_QUEUE_CLOSES = "(SELECT queue_closes_at FROM activity WHERE id = NEW.activity_id)"
_NO_POOL = f"NEW.pool IS NULL AND NOT {_MERGED}"
_NO_SUCH_POOL = """
        SELECT RAISE(ABORT, 'CHECK: a place is in a pool that there is') WHERE NEW.pool IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM activity_pool WHERE activity_id = NEW.activity_id AND position = NEW.pool);
"""
SQLITE = (
    f"""
    CREATE TRIGGER sign_up_count_insert AFTER INSERT ON sign_up BEGIN
        UPDATE activity SET taken = taken + {_NEW_PLACE}, waiting = waiting + (NEW.state = 'waitlisted'),
            held = held + (NEW.held_until IS NOT NULL), applied = applied + (NEW.state = 'applied')
        WHERE id = NEW.activity_id;
        UPDATE activity_pool SET taken = taken + 1 WHERE activity_id = NEW.activity_id AND position = NEW.pool;
        SELECT RAISE(ABORT, 'CHECK: a place is in a pool') WHERE {_NEW_PLACE} AND {_NO_POOL};
        {_NO_SUCH_POOL}
        SELECT RAISE(ABORT, 'CHECK: somebody else is next in the queue')
        WHERE {_NEW_PLACE} AND NEW.created_at < {_QUEUE_CLOSES} AND EXISTS ({_COULD_HAVE});
        SELECT RAISE(ABORT, 'CHECK: the queue has closed') WHERE NEW.state = 'waitlisted' AND NEW.created_at >= {_QUEUE_CLOSES};
        SELECT RAISE(ABORT, 'CHECK: who arrives stands at the end of the queue')
        WHERE NEW.state = 'waitlisted' AND EXISTS ({_WAITING} AND (other.rank, other.seq) > (NEW.rank, NEW.seq));
        SELECT RAISE(ABORT, 'CHECK: nobody arrives with a rank') WHERE NEW.rank <> 1000000;
    END
    """,
    f"""
    CREATE TRIGGER sign_up_count_update AFTER UPDATE OF state, held_until, pool ON sign_up BEGIN
        UPDATE activity SET
            taken = taken + {_NEW_PLACE} - {_OLD_PLACE},
            waiting = waiting + (NEW.state = 'waitlisted') - (OLD.state = 'waitlisted'),
            held = held + (NEW.held_until IS NOT NULL) - (OLD.held_until IS NOT NULL),
            applied = applied + (NEW.state = 'applied') - (OLD.state = 'applied')
        WHERE id = NEW.activity_id AND (NEW.state <> OLD.state OR NEW.held_until IS NOT OLD.held_until);
        UPDATE activity_pool SET taken = taken - 1 WHERE activity_id = NEW.activity_id AND position = OLD.pool;
        UPDATE activity_pool SET taken = taken + 1 WHERE activity_id = NEW.activity_id AND position = NEW.pool;
        SELECT RAISE(ABORT, 'CHECK: a place is in a pool') WHERE {_NEW_PLACE} AND {_NO_POOL} AND (NOT {_OLD_PLACE} OR OLD.pool IS NOT NULL);
        {_NO_SUCH_POOL}
        SELECT RAISE(ABORT, 'CHECK: somebody else is next in the queue') WHERE {_NEW_PLACE} AND NOT {_OLD_PLACE}
        AND EXISTS ({_COULD_HAVE} AND (other.rank, other.seq) < (OLD.rank, OLD.seq));
        SELECT RAISE(ABORT, 'CHECK: who was there keeps the place')
        WHERE OLD.state IN ('confirmed', 'walk_in') AND NEW.state NOT IN ('confirmed', 'walk_in')
        AND EXISTS (SELECT 1 FROM check_in WHERE sign_up_id = OLD.id);
    END
    """,
    f"""
    CREATE TRIGGER sign_up_count_delete AFTER DELETE ON sign_up BEGIN
        UPDATE activity SET taken = taken - {_OLD_PLACE}, waiting = waiting - (OLD.state = 'waitlisted'),
            held = held - (OLD.held_until IS NOT NULL), applied = applied - (OLD.state = 'applied')
        WHERE id = OLD.activity_id;
        UPDATE activity_pool SET taken = taken - 1 WHERE activity_id = OLD.activity_id AND position = OLD.pool;
    END
    """,
    """
    CREATE TRIGGER sign_up_keeps_owner BEFORE UPDATE OF activity_id, person_id ON sign_up
    WHEN NEW.activity_id <> OLD.activity_id OR NEW.person_id <> OLD.person_id BEGIN
        SELECT RAISE(ABORT, 'a sign-up keeps its activity and its person');
    END
    """,
    f"""
    CREATE TRIGGER sign_up_keeps BEFORE UPDATE OF state, rank, id, seq, pool_mask ON sign_up
    WHEN OLD.state = 'cancelled' OR NEW.rank <> OLD.rank OR NEW.id <> OLD.id OR NEW.seq <> OLD.seq OR NEW.pool_mask <> OLD.pool_mask BEGIN
        SELECT RAISE(ABORT, 'CHECK: a sign-up that has ended stays so') WHERE OLD.state = 'cancelled' AND NEW.state <> 'cancelled';
        SELECT RAISE(ABORT, 'CHECK: a sign-up keeps its arrival and its pools')
        WHERE NEW.id <> OLD.id OR NEW.seq <> OLD.seq OR NEW.pool_mask <> OLD.pool_mask;
        SELECT RAISE(ABORT, 'CHECK: a rank is given by review or draw') WHERE NEW.rank <> OLD.rank AND NOT EXISTS ({MAY_RANK});
    END
    """,
    # OR IGNORE and OR REPLACE reach into triggers and past constraints, not past RAISE: what the constraints say is said again here.
    """
    CREATE TRIGGER sign_up_replaces_none BEFORE INSERT ON sign_up BEGIN
        SELECT RAISE(ABORT, 'UNIQUE constraint failed: sign_up.activity_id, sign_up.person_id') WHERE NEW.state <> 'cancelled' AND EXISTS (
            SELECT 1 FROM sign_up WHERE activity_id = NEW.activity_id AND person_id = NEW.person_id AND state <> 'cancelled'
        );
        SELECT RAISE(ABORT, 'UNIQUE constraint failed: sign_up.id') WHERE EXISTS (SELECT 1 FROM sign_up WHERE id = NEW.id);
        SELECT RAISE(ABORT, 'UNIQUE constraint failed: sign_up.seq') WHERE EXISTS (SELECT 1 FROM sign_up WHERE seq = NEW.seq);
    END
    """,
    """
    CREATE TRIGGER activity_counts BEFORE UPDATE OF taken, waiting, held, applied ON activity
    WHEN NEW.taken NOT BETWEEN 0 AND NEW.capacity OR NEW.waiting NOT BETWEEN 0 AND NEW.waitlist_capacity
        OR NEW.held NOT BETWEEN 0 AND NEW.waiting OR NEW.applied < 0
    BEGIN
        SELECT RAISE(ABORT, 'CHECK constraint failed: ck_activity_taken_within_capacity') WHERE NEW.taken NOT BETWEEN 0 AND NEW.capacity;
        SELECT RAISE(ABORT, 'CHECK constraint failed: ck_activity_waiting_within_waitlist')
        WHERE NEW.waiting NOT BETWEEN 0 AND NEW.waitlist_capacity;
        SELECT RAISE(ABORT, 'CHECK constraint failed: ck_activity_held_within_waiting') WHERE NEW.held NOT BETWEEN 0 AND NEW.waiting;
        SELECT RAISE(ABORT, 'CHECK constraint failed: ck_activity_applied_not_negative');
    END
    """,
    """
    CREATE TRIGGER pool_counts BEFORE UPDATE OF taken ON activity_pool
    WHEN NEW.taken < 0 OR NOT NEW.merged AND NEW.taken > NEW.capacity BEGIN
        SELECT RAISE(ABORT, 'CHECK constraint failed: ck_activity_pool_taken_within_capacity');
    END
    """,
    """
    CREATE TRIGGER pool_begins_empty BEFORE INSERT ON activity_pool
    WHEN NEW.taken <> 0 OR EXISTS (SELECT 1 FROM activity_pool WHERE activity_id = NEW.activity_id AND position = NEW.position AND taken <> 0)
    BEGIN
        SELECT RAISE(ABORT, 'CHECK: a new pool is empty');
    END
    """,
    """
    CREATE TRIGGER pool_stays BEFORE DELETE ON activity_pool WHEN OLD.taken <> 0 BEGIN
        SELECT RAISE(ABORT, 'CHECK: a pool with places taken stays');
    END
    """,
    """
    CREATE TRIGGER pool_keeps_position BEFORE UPDATE OF activity_id, position ON activity_pool
    WHEN OLD.taken <> 0 AND (NEW.activity_id <> OLD.activity_id OR NEW.position <> OLD.position) BEGIN
        SELECT RAISE(ABORT, 'CHECK: a pool with places taken stays');
    END
    """,
    """
    CREATE TRIGGER pool_merges_with_activity BEFORE UPDATE OF merged ON activity_pool
    WHEN NEW.merged <> (SELECT pools_merged FROM activity WHERE id = NEW.activity_id) BEGIN
        SELECT RAISE(ABORT, 'CHECK: pools are merged with their activity');
    END
    """,
    """
    CREATE TRIGGER activity_pools_merged AFTER UPDATE OF pools_merged ON activity WHEN OLD.pools_merged <> NEW.pools_merged BEGIN
        UPDATE activity_pool SET merged = NEW.pools_merged WHERE activity_id = NEW.id;
    END
    """,
    """
    CREATE TRIGGER check_in_admitted AFTER INSERT ON check_in
    WHEN NOT EXISTS (
        SELECT 1 FROM sign_up WHERE id = NEW.sign_up_id AND activity_id = NEW.activity_id AND person_id = NEW.person_id
        AND state IN ('confirmed', 'walk_in')
    ) BEGIN
        SELECT RAISE(ABORT, 'CHECK: nobody checks in without admission');
    END
    """,
    """
    CREATE TRIGGER check_in_stays_admitted AFTER UPDATE OF sign_up_id, activity_id, person_id ON check_in
    WHEN NOT EXISTS (
        SELECT 1 FROM sign_up WHERE id = NEW.sign_up_id AND activity_id = NEW.activity_id AND person_id = NEW.person_id
        AND state IN ('confirmed', 'walk_in')
    ) BEGIN
        SELECT RAISE(ABORT, 'CHECK: nobody checks in without admission');
    END
    """,
    """
    CREATE TRIGGER activity_times AFTER UPDATE OF starts_at, ends_at ON activity
    WHEN OLD.starts_at <> NEW.starts_at OR OLD.ends_at <> NEW.ends_at BEGIN
        UPDATE sign_up SET starts_at = NEW.starts_at, ends_at = NEW.ends_at WHERE activity_id = NEW.id;
    END
    """,
)
# As migration 0006 made them.
OLD_POSTGRESQL = (
    """
    CREATE OR REPLACE FUNCTION sign_up_count() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        places integer := 0;
        turns integer := 0;
        its_activity uuid := CASE WHEN TG_OP = 'INSERT' THEN NEW.activity_id ELSE OLD.activity_id END;
    BEGIN
        IF TG_OP = 'UPDATE' AND (NEW.activity_id <> OLD.activity_id OR NEW.person_id <> OLD.person_id) THEN
            RAISE EXCEPTION 'a sign-up keeps its activity and its person' USING ERRCODE = 'check_violation';
        END IF;
        IF TG_OP <> 'DELETE' THEN
            places := (NEW.state = 'confirmed')::integer;
            turns := (NEW.state = 'waitlisted')::integer;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            places := places - (OLD.state = 'confirmed')::integer;
            turns := turns - (OLD.state = 'waitlisted')::integer;
        END IF;
        IF places <> 0 OR turns <> 0 THEN
            UPDATE activity SET taken = taken + places, waiting = waiting + turns WHERE id = its_activity;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER sign_up_count AFTER INSERT OR DELETE OR UPDATE OF state, activity_id, person_id ON sign_up
    FOR EACH ROW EXECUTE FUNCTION sign_up_count()
    """,
)
OLD_SQLITE = (
    """
    CREATE TRIGGER sign_up_count_insert AFTER INSERT ON sign_up BEGIN
        UPDATE activity SET taken = taken + (NEW.state = 'confirmed'), waiting = waiting + (NEW.state = 'waitlisted')
        WHERE id = NEW.activity_id;
    END
    """,
    """
    CREATE TRIGGER sign_up_count_update AFTER UPDATE OF state ON sign_up WHEN NEW.state <> OLD.state BEGIN
        UPDATE activity SET
            taken = taken + (NEW.state = 'confirmed') - (OLD.state = 'confirmed'),
            waiting = waiting + (NEW.state = 'waitlisted') - (OLD.state = 'waitlisted')
        WHERE id = NEW.activity_id;
    END
    """,
    """
    CREATE TRIGGER sign_up_count_delete AFTER DELETE ON sign_up BEGIN
        UPDATE activity SET taken = taken - (OLD.state = 'confirmed'), waiting = waiting - (OLD.state = 'waitlisted')
        WHERE id = OLD.activity_id;
    END
    """,
    """
    CREATE TRIGGER sign_up_keeps_owner BEFORE UPDATE OF activity_id, person_id ON sign_up
    WHEN NEW.activity_id <> OLD.activity_id OR NEW.person_id <> OLD.person_id BEGIN
        SELECT RAISE(ABORT, 'a sign-up keeps its activity and its person');
    END
    """,
)
# Places and turns of states that older versions do not know; nobody is lost, and the counters stay within their bounds.
BACK = (
    (
        "UPDATE activity SET capacity = {most}(capacity, taken + (SELECT count(*) FROM sign_up"
        " WHERE activity_id = activity.id AND state = 'walk_in')), waitlist_capacity = {most}(waitlist_capacity, waiting + applied)"
    ),
    "UPDATE sign_up SET state = 'confirmed', offer_expires_at = NULL WHERE state IN ('offered', 'walk_in')",
    "UPDATE sign_up SET state = 'waitlisted' WHERE state = 'applied'",
    (
        "UPDATE sign_up SET state = 'cancelled', cancelled_at = coalesce(decided_at, created_at), cancel_reason = decision_reason"
        " WHERE state = 'refused'"
    ),
)


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _name(column: str) -> str:
    return column.partition(" ")[0]


def _typed(column: str) -> str:
    if _is_postgresql():
        return column.format(instant="TIMESTAMP WITH TIME ZONE", id="UUID", late="")
    # A row without the value is refused by what depends on it: the queue would have closed long ago.
    return column.format(
        instant="DATETIME", id="CHAR(32)", late="DEFAULT '2000-01-01 00:00:00.000000' NOT NULL"
    )


def _add(table: str, columns: tuple[str, ...]) -> None:
    for column in columns:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {_typed(column)}")


def _drop(table: str, columns: tuple[str, ...]) -> None:
    for column in reversed(columns):
        op.drop_column(table, _name(column))


def _rebuild_in_sqlite(table: str, old: str, new: str) -> None:
    """Write a table anew with another text in its definition; SQLite cannot change a CHECK in place."""
    bind = op.get_bind()
    definition = bind.scalar(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name"), {"name": table}
    )
    indexes = bind.scalars(
        sa.text(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :name AND sql IS NOT NULL"
        ),
        {"name": table},
    ).all()
    changed = definition.replace(old, new)
    if changed == definition:
        raise RuntimeError(f"{table} is not as expected")
    op.execute(f"CREATE TABLE old_{table} AS SELECT * FROM {table}")
    op.drop_table(table)
    bind.exec_driver_sql(changed)
    op.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")
    op.drop_table(f"old_{table}")
    for index in indexes:
        bind.exec_driver_sql(index)


def _change_states(old: str, new: str) -> None:
    if _is_postgresql():
        op.drop_constraint(op.f("ck_sign_up_sign_up_state"), "sign_up", type_="check")
        op.create_check_constraint(op.f("ck_sign_up_sign_up_state"), "sign_up", f"state IN ({new})")
        return
    # Check-ins stand aside while the table that they refer to is written anew.
    bind = op.get_bind()
    definition = bind.scalar(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'check_in'")
    )
    indexes = bind.scalars(
        sa.text(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'check_in' AND sql IS NOT NULL"
        )
    ).all()
    op.execute("CREATE TABLE old_check_in AS SELECT * FROM check_in")
    op.drop_table("check_in")
    _rebuild_in_sqlite("sign_up", f"state IN ({old})", f"state IN ({new})")
    bind.exec_driver_sql(definition)
    op.execute("INSERT INTO check_in SELECT * FROM old_check_in")
    op.drop_table("old_check_in")
    for index in indexes:
        bind.exec_driver_sql(index)


def _index(name: str, table: str, columns: tuple[str, ...], condition: str | None) -> None:
    where = sa.text(condition) if condition else None
    op.create_index(name, table, list(columns), postgresql_where=where, sqlite_where=where)


def _before_start(hours: int) -> str:
    if _is_postgresql():
        return f"starts_at - INTERVAL '{hours} hours'"
    return f"strftime('%Y-%m-%d %H:%M:%f000', starts_at, '-{hours} hours')"


def _drop_sqlite_triggers() -> None:
    names = op.get_bind().scalars(
        sa.text(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('sign_up', 'check_in', 'activity', 'activity_pool')"
        )
    )
    for name in names.all():
        op.execute(f"DROP TRIGGER {name}")


def upgrade() -> None:
    if not _is_postgresql():
        _drop_sqlite_triggers()
    for name, table, _, _ in OLD_INDEXES:
        op.drop_index(name, table_name=table)
    _change_states(OLD_STATES, STATES)
    for table, columns in (
        ("project", PROJECT),
        ("activity", ACTIVITY),
        ("sign_up", SIGN_UP),
        ("check_in", CHECK_IN),
    ):
        _add(table, columns)
    for statement in FILL:
        op.execute(
            statement.format(
                day_before=_before_start(24), hour_before=_before_start(1), hours_before=_before_start(2)
            )
        )
    if _is_postgresql():
        for table, columns in LATE:
            for column in columns:
                op.alter_column(table, column, nullable=False)
    for index in INDEXES:
        _index(*index)
    _create_tables()
    for statement in POSTGRESQL if _is_postgresql() else SQLITE:
        op.execute(statement)


def _create_tables() -> None:
    op.create_table(
        "activity_pool",
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column(
            "audience",
            sa.Enum(
                "everybody", "counties", "members", "enclave_members",
                name="audience", native_enum=False, create_constraint=True, length=32,
            ),
            nullable=False,
        ),
        sa.Column("county_codes", sa.JSON(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("overflow_rank", sa.Integer(), nullable=True),
        sa.Column("merged", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("position BETWEEN 1 AND 16", name=op.f("ck_activity_pool_position_in_mask")),
        sa.CheckConstraint("capacity >= 0", name=op.f("ck_activity_pool_capacity_not_negative")),
        sa.CheckConstraint(
            "taken >= 0 AND (merged OR taken <= capacity)", name=op.f("ck_activity_pool_taken_within_capacity")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_activity_pool_activity_id")),
        sa.PrimaryKeyConstraint("activity_id", "position", name=op.f("pk_activity_pool")),
        postgresql_with={"fillfactor": 40},
    )  # fmt: skip
    op.create_table(
        "lottery_draw",
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("commitment", sa.String(length=64), nullable=False),
        sa.Column("sealed_seed", sa.LargeBinary(), nullable=False),
        sa.Column("draws_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_time_weight", sa.Integer(), server_default="1", nullable=False),
        sa.Column("public_source", sa.String(length=200), nullable=True),
        sa.Column("public_value", sa.String(length=100), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entries", sa.Text(), nullable=True),
        sa.Column("entries_digest", sa.String(length=64), nullable=True),
        sa.Column("seed", sa.String(length=64), nullable=True),
        sa.Column("places", sa.JSON(), nullable=True),
        sa.Column("withdrawn", sa.JSON(), nullable=True),
        sa.Column("drawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("drawn_by", sa.Uuid(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "first_time_weight BETWEEN 1 AND 10", name=op.f("ck_lottery_draw_first_time_weight_in_range")
        ),
        sa.CheckConstraint(
            "(drawn_at IS NULL) = (seed IS NULL)", name=op.f("ck_lottery_draw_seed_shown_when_drawn")
        ),
        sa.CheckConstraint(
            "(drawn_at IS NULL) = (places IS NULL)", name=op.f("ck_lottery_draw_drawn_with_places")
        ),
        sa.CheckConstraint(
            "drawn_at IS NULL OR closed_at IS NOT NULL", name=op.f("ck_lottery_draw_drawn_once_closed")
        ),
        sa.CheckConstraint(
            "settled_at IS NULL OR drawn_at IS NOT NULL", name=op.f("ck_lottery_draw_settled_once_drawn")
        ),
        sa.CheckConstraint(
            "drawn_at IS NULL OR public_source IS NULL OR public_value IS NOT NULL",
            name=op.f("ck_lottery_draw_drawn_with_public_value"),
        ),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (entries_digest IS NULL)", name=op.f("ck_lottery_draw_closed_with_digest")
        ),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (entries IS NULL)", name=op.f("ck_lottery_draw_closed_with_entries")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_lottery_draw_activity_id")),
        sa.ForeignKeyConstraint(["drawn_by"], ["person.id"], name=op.f("fk_lottery_draw_drawn_by")),
        sa.PrimaryKeyConstraint("activity_id", name=op.f("pk_lottery_draw")),
    )
    _index("ix_lottery_draw_due", "lottery_draw", ("draws_at",), "settled_at IS NULL")


def downgrade() -> None:
    if _is_postgresql():
        for trigger, table in (
            ("check_in_admitted", "check_in"),
            ("activity_times", "activity"),
            ("activity_pools_merged", "activity"),
            ("pool_keeps", "activity_pool"),
            ("sign_up_keeps", "sign_up"),
        ):
            op.execute(f"DROP TRIGGER {trigger} ON {table}")
            op.execute(f"DROP FUNCTION {trigger}()")
        op.execute("DROP TRIGGER sign_up_count ON sign_up")
    else:
        _drop_sqlite_triggers()
    op.drop_table("lottery_draw")
    op.drop_table("activity_pool")
    for statement in BACK:
        op.execute(statement.format(most="greatest" if _is_postgresql() else "max"))
    op.execute(
        "UPDATE activity SET"
        " taken = (SELECT count(*) FROM sign_up WHERE activity_id = activity.id AND state = 'confirmed'),"
        " waiting = (SELECT count(*) FROM sign_up WHERE activity_id = activity.id AND state = 'waitlisted'), held = 0"
    )
    for name, table, _, _ in INDEXES:
        op.drop_index(name, table_name=table)
    for table, columns in (
        ("check_in", CHECK_IN),
        ("sign_up", SIGN_UP),
        ("activity", ACTIVITY),
        ("project", PROJECT),
    ):
        _drop(table, columns)
    _change_states(STATES, OLD_STATES)
    for index in OLD_INDEXES:
        _index(*index)
    for statement in OLD_POSTGRESQL if _is_postgresql() else OLD_SQLITE:
        op.execute(statement)
