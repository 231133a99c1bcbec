"""The first tables: jobs, attempts, received faxes, deliveries, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make everything, and the numbers of which there is one."""
    state = op.create_table(
        "state",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="state_pkey"),
    )
    op.bulk_insert(state, [{"name": "events", "value": 0}, {"name": "paused", "value": 0}])
    _jobs()
    _attempts()
    _faxes()
    _deliveries()
    _events()


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False)


def _flag(name: str) -> "sa.Column[bool]":
    return sa.Column(name, sa.Boolean(), nullable=False)


def _partial(name: str, table: str, columns: list[str | sa.TextClause], where: str) -> None:
    """`where` is SQLite's; PostgreSQL says `false` for its 0."""
    op.create_index(
        name,
        table,
        columns,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where.replace("IS 0", "IS false")),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("ordinal", SERIAL, nullable=False, autoincrement=True),
        *(_number(name) for name in ("id", "job_type", "status", "submission")),
        _text("document"),
        _number("pages"),
        *(_text(name) for name in ("recipient_number", "recipient_name", "recipient_given", "owner")),
        *(_text(name) for name in ("sender_name", "sender_number", "subject", "subaddress", "sender_password")),
        _number("priority"),
        sa.Column("created_at", TIME, nullable=False),
        *(sa.Column(f"{name}_at", TIME) for name in ("schedule", "next_attempt", "wake", "expires", "ended")),
        _number("max_retries"),
        sa.Column("retry_delay", sa.Double(), nullable=False),
        *(_flag(name) for name in ("paused", "no_line", "cancel_asked")),
        *(_number(name) for name in ("next_page", "rate_limit_bps")),
        sa.Column("ecm", sa.Boolean()),
        *(_number(name) for name in ("attempts", "failures")),
        _flag("uncertain"),
        _number("device_id"),
        _text("lease_owner"),
        sa.Column("lease_until", TIME),
        *(_number(name) for name in ("lease_term", "status_id")),
        *(_text(name) for name in ("cause", "sentence", "record")),
        sa.PrimaryKeyConstraint("ordinal", name="jobs_pkey"),
        sa.UniqueConstraint("id", name="jobs_id_key"),
    )
    waiting = "job_type = 1 AND status IN (1, 64)"
    claimable = f"{waiting} AND paused IS 0"
    order: list[str | sa.TextClause] = ["job_type", sa.text("priority DESC"), "ordinal"]
    _partial("jobs_ready", "jobs", order, f"{claimable} AND wake_at IS NULL")
    _partial("jobs_asleep", "jobs", ["job_type", "wake_at"], f"{claimable} AND wake_at IS NOT NULL")
    _partial("jobs_expiry", "jobs", ["job_type", "expires_at"], f"{waiting} AND expires_at IS NOT NULL")
    _partial("jobs_live", "jobs", ["ordinal"], "ended_at IS NULL")
    _partial("jobs_ended", "jobs", ["ended_at"], "ended_at IS NOT NULL")
    op.create_index("jobs_status", "jobs", ["status", "ordinal"])
    op.create_index("jobs_owner", "jobs", ["owner", "ordinal"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        *(_number(name) for name in ("job", "number")),
        _text("host"),
        _number("device_id"),
        sa.Column("started_at", TIME, nullable=False),
        *(_number(name) for name in ("first_page", "pages_confirmed")),
        sa.Column("ended_at", TIME),
        _number("status_id"),
        *(_text(name) for name in ("cause", "sentence")),
        _flag("interrupted"),
        _text("journal"),
        sa.PrimaryKeyConstraint("job", "number", name="attempts_pkey"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="attempts_job_fkey", ondelete="CASCADE"),
    )


def _faxes() -> None:
    op.create_table(
        "faxes",
        _number("job"),
        sa.Column("received_at", TIME, nullable=False),
        _text("record"),
        sa.Column("document", sa.Text()),
        _text("digest"),
        _number("octets"),
        sa.Column("outstanding", sa.Integer(), nullable=False),
        *(sa.Column(f"{name}_at", TIME) for name in ("delivered", "removed")),
        sa.PrimaryKeyConstraint("job", name="faxes_pkey"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="faxes_job_fkey", ondelete="CASCADE"),
    )
    op.create_index("faxes_received", "faxes", ["received_at", "job"])
    _partial("faxes_kept", "faxes", ["received_at", "job", "octets"], "document IS NOT NULL AND removed_at IS NULL")


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", SERIAL, nullable=False, autoincrement=True),
        _number("job"),
        *(_text(name) for name in ("rule", "kind", "target", "state")),
        sa.Column("created_at", TIME, nullable=False),
        *(sa.Column(f"{name}_at", TIME) for name in ("due", "ended", "alarmed")),
        _number("attempts"),
        *(_text(name) for name in ("sentence", "lease_owner")),
        _number("lease_term"),
        sa.PrimaryKeyConstraint("id", name="deliveries_pkey"),
        sa.ForeignKeyConstraint(["job"], ["faxes.job"], name="deliveries_job_fkey", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("deliveries_job", "deliveries", ["job"])
    op.create_index("deliveries_state", "deliveries", ["state", "id"])
    _partial("deliveries_due", "deliveries", ["due_at", "id"], "due_at IS NOT NULL")
    _partial("deliveries_late", "deliveries", ["created_at"], "state != 'done' AND alarmed_at IS NULL")
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery", SERIAL, nullable=False, autoincrement=False),
        _number("number"),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        _flag("ok"),
        _text("sentence"),
        sa.PrimaryKeyConstraint("delivery", "number", name="delivery_attempts_pkey"),
        sa.ForeignKeyConstraint(
            ["delivery"], ["deliveries.id"], name="delivery_attempts_delivery_fkey", ondelete="CASCADE"
        ),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("sequence", SERIAL, nullable=False, autoincrement=False),
        _text("session"),
        *(_number(name) for name in ("time_stamp", "event_id", "device_id", "job_id")),
        sa.PrimaryKeyConstraint("sequence", name="events_pkey"),
    )
