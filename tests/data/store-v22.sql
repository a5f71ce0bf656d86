BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'alertbot','step_001_first_light','2026-11-24 09:29:28.502965+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'alertbot','step_002_running_rules','2026-11-24 10:54:05.869837+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'alertbot','step_003_feed_health','2026-11-24 10:54:05.870172+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'alertbot','step_004_told','2026-11-24 10:54:05.870623+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'alertbot','step_005_recording','2026-11-24 10:54:05.870882+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'alertbot','step_006_looks','2026-11-26 00:57:31.667269+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'alertbot','step_007_card_members','2026-11-26 01:01:28.210281+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'alertbot','step_008_claims','2026-11-26 01:37:36.719407+00:00');
INSERT INTO "_sqlite_migrations" VALUES(9,'alertbot','step_009_muted','2026-11-26 01:37:36.722711+00:00');
INSERT INTO "_sqlite_migrations" VALUES(10,'alertbot','step_010_former_messages','2026-11-26 04:20:19.552966+00:00');
INSERT INTO "_sqlite_migrations" VALUES(11,'alertbot','step_012_shown','2026-11-26 04:20:19.553464+00:00');
INSERT INTO "_sqlite_migrations" VALUES(12,'alertbot','step_013_alert_life','2026-11-26 09:02:02.942194+00:00');
INSERT INTO "_sqlite_migrations" VALUES(13,'alertbot','step_015_pictures','2026-11-26 09:57:47.560502+00:00');
INSERT INTO "_sqlite_migrations" VALUES(14,'alertbot','step_016_agents','2026-11-26 09:57:47.560848+00:00');
INSERT INTO "_sqlite_migrations" VALUES(15,'alertbot','step_017_card_edits','2026-11-26 09:57:47.561014+00:00');
INSERT INTO "_sqlite_migrations" VALUES(16,'alertbot','step_018_fallback_posts','2026-11-26 09:57:47.561366+00:00');
INSERT INTO "_sqlite_migrations" VALUES(17,'alertbot','step_019_history','2026-11-26 09:57:47.561521+00:00');
INSERT INTO "_sqlite_migrations" VALUES(18,'alertbot','step_020_one_row_a_turn','2026-11-26 13:34:05.717221+00:00');
INSERT INTO "_sqlite_migrations" VALUES(19,'alertbot','step_021_usual','2026-11-26 13:34:05.717944+00:00');
INSERT INTO "_sqlite_migrations" VALUES(20,'alertbot','step_022_digest','2026-11-26 13:34:05.719576+00:00');
CREATE TABLE agents (tenant TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (tenant, id, name));
INSERT INTO "agents" VALUES('acme','A12','Dana Whitfield');
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    rule TEXT NOT NULL,
    scope TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    parent_name TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    entity_name TEXT NOT NULL,
    state TEXT NOT NULL,
    level TEXT NOT NULL,
    highest_level TEXT,
    since TEXT NOT NULL,
    pending_since TEXT,
    fired_at TEXT,
    recovering_since TEXT,
    ended_at TEXT,
    end_reason TEXT,
    measure TEXT,
    peak REAL,
    peak_at TEXT,
    missed_polls INTEGER NOT NULL,
    seen_at TEXT,
    about TEXT NOT NULL,
    acked_by TEXT,
    acked_at TEXT,
    ack_note TEXT NOT NULL DEFAULT ''
, reported_level TEXT, muted TEXT, shown TEXT NOT NULL DEFAULT '{}', reminded_at TEXT, reminders INTEGER NOT NULL DEFAULT 0, escalated_s REAL, nagged INTEGER NOT NULL DEFAULT 0, rises TEXT NOT NULL DEFAULT '[]', unstable INTEGER NOT NULL DEFAULT 0, no_data_since TEXT, unseen_since TEXT, closed_by TEXT NOT NULL DEFAULT '', close_note TEXT NOT NULL DEFAULT '', latched INTEGER NOT NULL DEFAULT 0);
INSERT INTO "alerts" VALUES(1,'acme','longest-wait','queue','','North','101','Queue 101','inactive','warning','warning','{"warning":"2026-03-02T09:00:00.000000Z"}',NULL,'2026-03-02T09:00:00.000000Z',NULL,'2026-03-02T09:00:30.000000Z','resolved','["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]',72000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:30.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}',NULL,NULL,'','warning',NULL,'{}',NULL,0,NULL,0,'[]',0,NULL,NULL,'','',0);
INSERT INTO "alerts" VALUES(2,'acme','longest-wait','queue','','','102','Queue 102','firing','critical','critical','{"critical":"2026-03-02T09:00:00.000000Z"}',NULL,'2026-03-02T09:00:00.000000Z',NULL,NULL,NULL,'["interactionsLongestWaitInQueue.rt","duration",">",130000.0,60000.0]',130000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:00.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}','U1','2026-03-02T09:00:45.000000Z','on it','critical',NULL,'{"interactionsWaitInQueue.rt":3.0,"status.rt":null}',NULL,0,NULL,0,'[]',0,NULL,NULL,'','',0);
INSERT INTO "alerts" VALUES(3,'acme','longest-wait','queue','','','103','Queue 103','pending','warning',NULL,'{"warning":"2026-03-02T09:00:00.000000Z"}','2026-03-02T09:00:00.000000Z',NULL,NULL,NULL,NULL,'["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]',72000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:00.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}',NULL,NULL,'',NULL,NULL,'{}',NULL,0,NULL,0,'[]',0,NULL,NULL,'','',0);
INSERT INTO "alerts" VALUES(4,'acme','longest-wait','queue','','','104','Queue 104','firing','warning','warning','{"warning":"2026-03-02T09:00:00.000000Z"}',NULL,'2026-03-02T09:00:00.000000Z',NULL,NULL,NULL,'["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]',72000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:00.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}',NULL,NULL,'','warning',NULL,'{}',NULL,0,NULL,0,'[]',0,NULL,NULL,'','',0);
INSERT INTO "alerts" VALUES(5,'other','longest-wait','queue','','','105','Queue 105','firing','warning','warning','{"warning":"2026-03-02T09:00:00.000000Z"}',NULL,'2026-03-02T09:00:00.000000Z',NULL,NULL,NULL,'["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]',72000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:00.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}',NULL,NULL,'','warning',NULL,'{}',NULL,0,NULL,0,'[]',0,NULL,NULL,'','',0);
INSERT INTO "alerts" VALUES(6,'acme','callers','queue','','','301','Queue 301','firing','warning','warning','{"warning":"2026-03-02T09:00:00.000000Z"}',NULL,'2026-03-02T09:00:00.000000Z',NULL,NULL,NULL,'["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]',72000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:00.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}',NULL,NULL,'',NULL,NULL,'{}',NULL,0,NULL,0,'["2026-03-02T08:59:00.000000Z","2026-03-02T09:00:00.000000Z"]',0,NULL,NULL,'','',0);
INSERT INTO "alerts" VALUES(7,'acme','callers','queue','','','302','Queue 302','firing','warning','warning','{"warning":"2026-03-02T09:00:00.000000Z"}',NULL,'2026-03-02T09:00:00.000000Z',NULL,NULL,NULL,'["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]',72000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:00.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}',NULL,NULL,'',NULL,NULL,'{}',NULL,0,NULL,0,'[]',1,NULL,NULL,'','',0);
INSERT INTO "alerts" VALUES(8,'acme','stuck','queue','','','303','Queue 303','inactive','warning','warning','{}',NULL,'2026-03-02T09:00:00.000000Z',NULL,'2026-03-02T09:05:20.000000Z','closed_by_hand','["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]',72000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:00.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}',NULL,NULL,'',NULL,NULL,'{}',NULL,0,NULL,0,'[]',0,NULL,NULL,'U1','a call is stuck',1);
INSERT INTO "alerts" VALUES(10,'acme','away','agent','','','A12','Dana Whitfield','firing','warning','warning','{"warning":"2026-03-02T09:00:00.000000Z"}',NULL,'2026-03-02T09:00:00.000000Z',NULL,NULL,NULL,'["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]',72000.0,'2026-03-02T09:00:00.000000Z',0,'2026-03-02T09:00:00.000000Z','{"title":"Longest wait in queue","condition":"interactionsLongestWaitInQueue.rt > 60s","template":"alert","runbook":"","labels":{"team":"sales"}}',NULL,NULL,'',NULL,NULL,'{}',NULL,0,NULL,0,'[]',0,NULL,NULL,'','',0);
CREATE TABLE card_alerts (
    card_id INTEGER NOT NULL REFERENCES cards (id),
    alert_id INTEGER NOT NULL REFERENCES alerts (id),
    PRIMARY KEY (card_id, alert_id)
) WITHOUT ROWID;
INSERT INTO "card_alerts" VALUES(1,1);
INSERT INTO "card_alerts" VALUES(5,1);
INSERT INTO "card_alerts" VALUES(2,2);
INSERT INTO "card_alerts" VALUES(3,4);
INSERT INTO "card_alerts" VALUES(4,5);
INSERT INTO "card_alerts" VALUES(6,6);
INSERT INTO "card_alerts" VALUES(6,7);
INSERT INTO "card_alerts" VALUES(7,8);
INSERT INTO "card_alerts" VALUES(8,10);
CREATE TABLE card_edits (at TEXT NOT NULL, card_id INTEGER NOT NULL);
CREATE TABLE "cards" (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    group_key TEXT NOT NULL,
    channel TEXT NOT NULL,
    wanted_channel TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'posted', 'given_up', 'gone')),
    posted_channel_id TEXT,
    posted_ts TEXT,
    version INTEGER NOT NULL,
    urgent_version INTEGER NOT NULL,
    sent_version INTEGER NOT NULL,
    edited_at TEXT,
    outdated_since TEXT,
    refresh_seconds REAL NOT NULL,
    edit_not_before TEXT,
    edit_attempts INTEGER NOT NULL DEFAULT 0,
    edit_error TEXT NOT NULL DEFAULT '',
    ended_at TEXT
, picture_at TEXT);
INSERT INTO "cards" VALUES(1,'acme','alert:1','#cc-sales','#cc-sales','posted','C1','1772442000.000000',2,2,2,'2026-03-02T09:00:31.000000Z',NULL,60.0,NULL,0,'','2026-03-02T09:00:30.000000Z',NULL);
INSERT INTO "cards" VALUES(2,'acme','alert:2','#cc-sales','#cc-sales','posted','C1','1772442040.000000',2,2,1,'2026-03-02T09:00:40.000000Z','2026-03-02T09:00:45.000000Z',60.0,NULL,0,'',NULL,NULL);
INSERT INTO "cards" VALUES(3,'acme','alert:4','#cc-floor','#cc-floor','waiting',NULL,NULL,1,1,0,NULL,NULL,60.0,NULL,0,'',NULL,NULL);
INSERT INTO "cards" VALUES(4,'other','alert:5','#gone','#gone','given_up',NULL,NULL,1,1,0,NULL,NULL,60.0,NULL,0,'',NULL,NULL);
INSERT INTO "cards" VALUES(5,'acme','alert:1','#cc-alerts','#cc-closed','gone','C9','1772442001.000000',2,2,1,'2026-03-02T09:00:01.000000Z','2026-03-02T09:00:30.000000Z',60.0,NULL,0,'','2026-03-02T09:00:30.000000Z',NULL);
INSERT INTO "cards" VALUES(6,'acme','rule:callers','#cc-shared','#cc-shared','posted','C0SHARED','1772442301.000000',2,1,2,'2026-03-02T09:05:01.000000Z',NULL,60.0,NULL,0,'',NULL,NULL);
INSERT INTO "cards" VALUES(7,'acme','alert:8','#cc-stuck','#cc-stuck','waiting',NULL,NULL,2,2,0,NULL,'2026-03-02T09:05:20.000000Z',60.0,NULL,0,'','2026-03-02T09:05:20.000000Z',NULL);
INSERT INTO "cards" VALUES(8,'acme','alert:10','#cc-agents','#cc-agents','waiting',NULL,NULL,1,1,0,NULL,NULL,60.0,NULL,0,'',NULL,NULL);
CREATE TABLE channel_posts (
    channel TEXT NOT NULL,
    at TEXT NOT NULL,
    notice_id TEXT NOT NULL,
    PRIMARY KEY (channel, at, notice_id)
) WITHOUT ROWID;
CREATE TABLE channels (
    channel TEXT PRIMARY KEY,
    channel_id TEXT,
    rest_until TEXT,
    held_until TEXT
, hold_notice TEXT);
INSERT INTO "channels" VALUES('#cc-sales','C1','2026-03-02T09:00:41.000000Z',NULL,NULL);
INSERT INTO "channels" VALUES('#cc-floor',NULL,'2026-03-02T09:00:57.000000Z',NULL,NULL);
INSERT INTO "channels" VALUES('#cc-ops',NULL,NULL,'2026-03-02T09:01:30.000000Z',NULL);
INSERT INTO "channels" VALUES('#cc-shared','C0SHARED','2026-03-02T09:05:02.000000Z',NULL,NULL);
CREATE TABLE counters (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
);
INSERT INTO "counters" VALUES('acme','fired',7);
INSERT INTO "counters" VALUES('acme','cards_posted',3);
INSERT INTO "counters" VALUES('acme','resolved',2);
INSERT INTO "counters" VALUES('acme','edits',1);
INSERT INTO "counters" VALUES('acme','lines_posted',1);
INSERT INTO "counters" VALUES('other','fired',1);
INSERT INTO "counters" VALUES('other','given_up',1);
CREATE TABLE fallback_posts (
    id TEXT PRIMARY KEY,
    alert_id INTEGER NOT NULL REFERENCES alerts (id),
    kind TEXT NOT NULL CHECK (kind IN ('firing', 'resolved')),
    level TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
    maybe_sent INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    error TEXT NOT NULL DEFAULT '',
    settled_at TEXT,
    UNIQUE (alert_id, kind, level)
);
CREATE TABLE feeds (
    tenant TEXT PRIMARY KEY,
    tried_at TEXT,
    good_at TEXT,
    error TEXT NOT NULL,
    took_ms REAL NOT NULL,
    requests INTEGER NOT NULL,
    entities TEXT NOT NULL,
    empty_polls TEXT NOT NULL
, health TEXT NOT NULL DEFAULT '{}', snapshot_times TEXT NOT NULL DEFAULT '{}', turns INTEGER NOT NULL DEFAULT 0, polls INTEGER NOT NULL DEFAULT 0);
INSERT INTO "feeds" VALUES('other','2026-03-02T09:00:59.000000Z','2026-03-02T09:00:59.000000Z','',0.0,0,'{}','{}','{}','{}',0,1);
INSERT INTO "feeds" VALUES('acme','2026-03-02T09:05:15.000000Z','2026-03-02T09:05:15.000000Z','',0.0,0,'{}','{}','{"good":0,"served":0,"silent":0,"partial":0,"accepted":0,"refused":0,"slow":0,"skew_s":null,"served_since":null,"served_at":null,"blind_since":null,"bad_since":null,"good_at":null,"moved_at":null,"still":0,"figures":"","activity":"nobody","opened":null,"wait_until":null,"next_try_at":null,"meanwhile":{"began":0,"rose":0,"ended":0,"names":[]},"failing":{},"received":{}}','{"agent":["2026-03-02T09:01:00.000000Z",""],"queue":["2026-03-02T09:05:15.000000Z","8e4bf00a93e73d197d48f0fd264d01ac"]}',0,11);
CREATE TABLE former_messages (
    card_id INTEGER NOT NULL REFERENCES cards (id),
    posted_channel_id TEXT NOT NULL,
    posted_ts TEXT NOT NULL,
    sent_version INTEGER NOT NULL,
    edit_not_before TEXT,
    edit_attempts INTEGER NOT NULL DEFAULT 0,
    edit_error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (card_id, posted_channel_id, posted_ts)
) WITHOUT ROWID;
INSERT INTO "former_messages" VALUES(2,'C9','1772442000.000000',2,NULL,0,'');
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    since TEXT NOT NULL,
    until TEXT NOT NULL,
    ttl_seconds REAL NOT NULL
);
INSERT INTO "leases" VALUES('delivery','host-a, process 7','2026-03-02T09:01:00.000000Z','2026-03-02T09:01:30.000000Z',30.0);
INSERT INTO "leases" VALUES('tenant:acme','host-a, process 7','2026-03-02T09:01:00.000000Z','2026-03-02T09:01:30.000000Z',30.0);
INSERT INTO "leases" VALUES('tenant:other','host-a, process 7','2026-03-02T09:01:00.000000Z','2026-03-02T09:01:30.000000Z',30.0);
CREATE TABLE notices (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('card', 'line', 'ops')),
    alert_id INTEGER REFERENCES alerts (id),
    card_id INTEGER REFERENCES cards (id),
    channel TEXT NOT NULL,
    reason TEXT NOT NULL,
    level TEXT NOT NULL,
    at TEXT NOT NULL,
    text TEXT NOT NULL,
    measure TEXT,
    mention TEXT NOT NULL,
    broadcast INTEGER NOT NULL,
    done_by TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given_up', 'told_by_card')),
    intent_at TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    error TEXT NOT NULL DEFAULT '',
    settled_at TEXT,
    posted_channel_id TEXT,
    posted_ts TEXT
, looks INTEGER NOT NULL DEFAULT 0, claimant TEXT, look_at TEXT, lead TEXT REFERENCES notices (id), also TEXT NOT NULL DEFAULT '[]', replies TEXT NOT NULL DEFAULT '[]', thread_channel_id TEXT, thread_ts TEXT);
INSERT INTO "notices" VALUES('4cc3727ef766ce34d9da','acme','card',1,1,'#cc-sales','fired','warning','2026-03-02T09:00:00.000000Z','',NULL,'[]',0,'','delivered','2026-03-02T09:00:00.000000Z',0,NULL,'','2026-03-02T09:00:00.000000Z','C1','1772442000.000000',0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('7911038abe4c4b6afae6','acme','line',1,1,'#cc-sales','resolved','warning','2026-03-02T09:00:30.000000Z','it is 0s',NULL,'[]',0,'','delivered','2026-03-02T09:00:31.000000Z',0,NULL,'','2026-03-02T09:00:31.000000Z','C1','1772442031.000000',0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('b380aa5088b844221a87','acme','card',2,2,'#cc-sales','fired','critical','2026-03-02T09:00:40.000000Z','',NULL,'[]',0,'','delivered','2026-03-02T09:00:40.000000Z',0,NULL,'','2026-03-02T09:00:40.000000Z','C1','1772442040.000000',0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('3a8de0949ba9ec357fb1','acme','line',2,2,'#cc-sales','acknowledged','critical','2026-03-02T09:00:45.000000Z','on it','["interactionsLongestWaitInQueue.rt","duration",">",130000.0,60000.0]','[]',0,'U1','waiting',NULL,0,NULL,'',NULL,NULL,NULL,0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('4c42aed475607157ed1c','acme','card',4,3,'#cc-floor','fired','warning','2026-03-02T09:00:55.000000Z','it is 72s',NULL,'["<!here>"]',0,'','waiting','2026-03-02T09:00:56.000000Z',0,NULL,'',NULL,NULL,NULL,2,'host-a, process 7','2026-03-02T09:01:16.000000Z',NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('7a2548af934ba036646e','','ops',NULL,NULL,'#cc-ops','operations','warning','2026-03-02T09:00:58.000000Z','blind for 2m',NULL,'[]',0,'','waiting',NULL,0,NULL,'',NULL,NULL,NULL,0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('f7fc32143613f3097743','other','card',5,4,'#gone','fired','warning','2026-03-02T09:00:59.000000Z','',NULL,'[]',0,'','given_up',NULL,0,NULL,'channel_not_found','2026-03-02T09:00:59.000000Z',NULL,NULL,0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('1e65998eb60aea20954f','acme','card',6,6,'#cc-shared','fired','warning','2026-03-02T09:00:00.000000Z','',NULL,'[]',0,'','delivered','2026-03-02T09:05:01.000000Z',0,NULL,'','2026-03-02T09:05:01.000000Z','C0SHARED','1772442301.000000',0,'the deliverer','2026-03-02T09:05:21.000000Z',NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('887f6d9f0827ae67673e','acme','card',7,6,'#cc-shared','fired','warning','2026-03-02T09:00:00.000000Z','',NULL,'[]',0,'','delivered',NULL,0,NULL,'','2026-03-02T09:05:01.000000Z','C0SHARED','1772442301.000000',0,NULL,NULL,'1e65998eb60aea20954f','[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('3eecab52727e9315e192','acme','card',8,7,'#cc-stuck','fired','warning','2026-03-02T09:05:10.000000Z','',NULL,'[]',0,'','waiting',NULL,0,NULL,'',NULL,NULL,NULL,0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('23a151b37df526e7bacc','acme','line',8,7,'#cc-stuck','closed_by_hand','warning','2026-03-02T09:05:20.000000Z','a call is stuck','["interactionsLongestWaitInQueue.rt","duration",">",72000.0,60000.0]','[]',0,'U1','waiting',NULL,0,NULL,'',NULL,NULL,NULL,0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('559f1874a29b8858defd','','ops',NULL,NULL,'#cc-shared','operations','info','2026-03-02T09:05:30.000000Z','Silence #9 by ￼ until 2046-02-25 09:05 UTC: rule=callers name="Queue 30*" (new phones). Matching alerts are tracked but not reported; cards already posted stay up to date.',NULL,'[]',0,'U2','waiting',NULL,0,NULL,'',NULL,NULL,NULL,0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "notices" VALUES('107a93016732fb7ef61e','acme','card',10,8,'#cc-agents','fired','warning','2026-03-02T09:00:00.000000Z','',NULL,'[]',0,'','waiting',NULL,0,NULL,'',NULL,NULL,NULL,0,NULL,NULL,NULL,'[]','[]',NULL,NULL);
CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE recorded_layouts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    scope TEXT NOT NULL,
    digest TEXT NOT NULL,
    entities BLOB NOT NULL,
    metric_keys TEXT NOT NULL,
    UNIQUE (tenant, scope, digest)
);
INSERT INTO "recorded_layouts" VALUES(1,'acme','queue','9f8c6830222ab13baa209465648b3a86',X'789C9B3269B1A18131109B4C5A119C98935AACE01ABA29A4343B5341A9E0F092CCB2CAE292CA6225AE490BCD174C5AEA975F5492B1000012E5152D','[["waiting.rt",false],["slaPercentage.today",false],["status.rt",true]]');
CREATE TABLE recorded_polls (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    at TEXT NOT NULL,
    scope TEXT NOT NULL,
    layout_id INTEGER,
    key_frame INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    problems TEXT NOT NULL,
    packed BLOB
);
INSERT INTO "recorded_polls" VALUES(1,'acme','2026-03-02T09:00:00.000000Z','queue',1,1,0,'["page 2: 503"]',X'780113646060987C84599145E0F0C489CBFDF39C8A5213B3D918183218D218D218D218D218D2189631D4333030323030030010BA0A64');
INSERT INTO "recorded_polls" VALUES(2,'acme','2026-03-02T09:00:15.000000Z','queue',1,0,0,'["page 2: 503"]',X'7801E3646060987C84598343E2D0C409001152038F');
INSERT INTO "recorded_polls" VALUES(3,'acme','2026-03-02T09:00:30.000000Z','queue',NULL,0,0,'["503"]',NULL);
INSERT INTO "recorded_polls" VALUES(4,'acme','2026-03-02T09:05:00.000000Z','queue',1,1,0,'["page 2: 503"]',X'780113646060987C84599145E0F0C489CBFDF39C8A5213B3D918183218D218D218D218D218D2189631D4333030323030030010BA0A64');
INSERT INTO "recorded_polls" VALUES(5,'acme','2026-03-02T09:05:15.000000Z','queue',1,0,0,'["page 2: 503"]',X'7801E3646060987C84598343E2D0C409001152038F');
CREATE TABLE revisions (
    tenant TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
);
INSERT INTO "revisions" VALUES('acme',18);
INSERT INTO "revisions" VALUES('',1);
CREATE TABLE running_rules (
    tenant TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    since TEXT NOT NULL,
    files BLOB NOT NULL
);
CREATE TABLE silences (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    matcher TEXT NOT NULL,
    starts_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    ended_by TEXT NOT NULL DEFAULT '',
    started INTEGER NOT NULL DEFAULT 0,
    warned INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "silences" VALUES(9,'[["rule","callers"],["name","Queue 30*"]]','2026-03-02T09:05:30.000000Z','2046-02-25T09:05:30.000000Z','U2','new phones','2026-03-02T09:05:30.000000Z',NULL,'',1,0);
CREATE TABLE snapshots (
    tenant TEXT NOT NULL,
    scope TEXT NOT NULL,
    at TEXT NOT NULL,
    complete INTEGER NOT NULL,
    problems TEXT NOT NULL,
    entities TEXT NOT NULL,
    number_keys TEXT NOT NULL,
    numbers BLOB NOT NULL,
    number_presence BLOB NOT NULL,
    text_keys TEXT NOT NULL,
    texts TEXT NOT NULL,
    text_presence BLOB NOT NULL,
    PRIMARY KEY (tenant, scope)
);
INSERT INTO "snapshots" VALUES('acme','agent','2026-03-02T09:01:00.000000Z',0,'["page 2: 503"]','[["103","104"],["Sales EU","Tuki \"päivystys\"\n"],["7",""],["North",""]]','["waiting.rt","slaPercentage.today"]',X'00000000000008400000000000000000000000000000F87F343333333333D33F',X'00000100','["status.rt"]','[["OnBreak",""]]',X'0003');
INSERT INTO "snapshots" VALUES('acme','queue','2026-03-02T09:05:00.000000Z',0,'["page 2: 503"]','[["103","104"],["Sales EU","Tuki \"päivystys\"\n"],["7",""],["North",""]]','["waiting.rt","slaPercentage.today"]',X'00000000000008400000000000000000000000000000F87F343333333333D33F',X'00000100','["status.rt"]','[["OnBreak",""]]',X'0003');
CREATE TABLE usual_keys (
    tenant TEXT NOT NULL,
    scope TEXT NOT NULL,
    metric_key TEXT NOT NULL,
    filled_until TEXT NOT NULL,
    PRIMARY KEY (tenant, scope, metric_key)
) WITHOUT ROWID;
CREATE TABLE usual_layouts (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    scope TEXT NOT NULL,
    digest TEXT NOT NULL,
    entities BLOB NOT NULL,
    metric_keys TEXT NOT NULL,
    UNIQUE (tenant, scope, digest)
);
CREATE TABLE usual_means (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    scope TEXT NOT NULL,
    at TEXT NOT NULL,
    layout_id INTEGER NOT NULL REFERENCES usual_layouts (id),
    packed BLOB NOT NULL,
    UNIQUE (tenant, scope, at, layout_id)
);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE UNIQUE INDEX alerts_one_not_over ON alerts (tenant, rule, scope, parent_id, entity_id)
WHERE ended_at IS NULL;
CREATE INDEX alerts_ended ON alerts (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX notices_waiting ON notices (channel) WHERE state = 'waiting';
CREATE INDEX notices_of_alert ON notices (alert_id);
CREATE INDEX notices_of_card ON notices (card_id);
CREATE INDEX alerts_fired ON alerts (fired_at) WHERE fired_at IS NOT NULL;
CREATE UNIQUE INDEX recorded_polls_in_time ON recorded_polls (tenant, at, scope);
CREATE INDEX recorded_key_frames ON recorded_polls (tenant, scope, at, layout_id) WHERE key_frame;
CREATE INDEX cards_of_alert ON card_alerts (alert_id);
CREATE UNIQUE INDEX cards_one_open ON cards (tenant, group_key, wanted_channel) WHERE ended_at IS NULL;
CREATE INDEX cards_outdated ON cards (id) WHERE state = 'posted' AND version > sent_version;
CREATE INDEX notices_claimed ON notices (claimant) WHERE state = 'waiting' AND claimant IS NOT NULL;
CREATE INDEX alerts_open ON alerts (tenant, id) WHERE ended_at IS NULL;
CREATE INDEX alerts_by_key ON alerts (tenant, rule, scope, parent_id, entity_id, id);
CREATE INDEX alerts_latched ON alerts (tenant) WHERE latched;
CREATE INDEX alerts_ended_by_tenant ON alerts (tenant, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX silences_open ON silences (id) WHERE ended_at IS NULL;
CREATE INDEX notices_carried ON notices (lead) WHERE lead IS NOT NULL;
CREATE INDEX cards_pictures ON cards (picture_at) WHERE picture_at IS NOT NULL;
CREATE INDEX fallback_posts_waiting ON fallback_posts (attempts) WHERE state = 'waiting';
CREATE INDEX fallback_posts_open ON fallback_posts (alert_id) WHERE kind = 'firing' AND closed = 0;
CREATE INDEX notices_operational ON notices (at) WHERE alert_id IS NULL;
CREATE INDEX usual_means_of_layout ON usual_means (layout_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('alerts',10);
INSERT INTO "sqlite_sequence" VALUES('recorded_layouts',2);
INSERT INTO "sqlite_sequence" VALUES('cards',8);
INSERT INTO "sqlite_sequence" VALUES('silences',9);
COMMIT;
