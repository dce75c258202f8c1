"""All records of LTS's database, by area; import them from here."""

from lts_web.store.base import Record
from lts_web.store.models.people import AuditLogRecord, SessionRecord, UserRecord
from lts_web.store.models.portfolios import (
    AssetRecord,
    BarRecord,
    BrokerAccountRecord,
    DatasetRecord,
    PortfolioRecord,
)
from lts_web.store.models.system import (
    BillingRecordRecord,
    ConfigurationRecord,
    EquityPointRecord,
    LiveTopicRecord,
    PluginSnapshotRecord,
    PluginStateRecord,
    StatisticRecord,
    WorkerHeartbeatRecord,
)
from lts_web.store.models.trading import (
    CycleRecord,
    DecisionRecord,
    FillRecord,
    LeaseRecord,
    OrderEventRecord,
    OrderRecord,
    PositionRecord,
)

__all__ = [
    "AssetRecord",
    "AuditLogRecord",
    "BarRecord",
    "BillingRecordRecord",
    "BrokerAccountRecord",
    "ConfigurationRecord",
    "CycleRecord",
    "DatasetRecord",
    "DecisionRecord",
    "EquityPointRecord",
    "FillRecord",
    "LeaseRecord",
    "LiveTopicRecord",
    "OrderEventRecord",
    "OrderRecord",
    "PluginSnapshotRecord",
    "PluginStateRecord",
    "PortfolioRecord",
    "PositionRecord",
    "Record",
    "SessionRecord",
    "StatisticRecord",
    "UserRecord",
    "WorkerHeartbeatRecord",
]
