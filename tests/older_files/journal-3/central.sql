PRAGMA application_id = 0;
PRAGMA user_version = 0;
BEGIN TRANSACTION;
CREATE TABLE accounts (
	account_id VARCHAR NOT NULL, 
	account_key VARCHAR NOT NULL, 
	plan_id VARCHAR, 
	plan_since BIGINT NOT NULL, 
	time_zone VARCHAR NOT NULL, 
	anchor_day INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	overdraft_limit_microcredits BIGINT NOT NULL, 
	max_open_reservations INTEGER NOT NULL, 
	max_reservation_microcredits BIGINT NOT NULL, 
	offline_allowance_microcredits BIGINT NOT NULL, 
	alerts TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	balance_microcredits BIGINT NOT NULL, 
	last_entry BIGINT NOT NULL, 
	decided_at BIGINT NOT NULL, calendar_change TEXT, summed_entry BIGINT DEFAULT '-1' NOT NULL, debt_microcredits BIGINT DEFAULT '0' NOT NULL, to_come_microcredits BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (account_id), 
	UNIQUE (account_key)
);
INSERT INTO "accounts" VALUES('ada','wrpxyneih4gkxn6r','basic',1795521600000000,'Asia/Tokyo',15,'ACTIVE',0,0,0,0,'[{"amount":0,"percent":10},{"amount":5000000,"percent":0}]',1795521600000000,322500000,8,1795521600000000,'{"changed_at":1795521600000000,"day":{"key":"2026-11-24","starts_at":1795474800000000,"ends_at":1795618800000000},"month":{"key":"2026-11-15","starts_at":1794697200000000,"ends_at":1797346800000000}}',8,0,0);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0014');
CREATE TABLE alert_deliveries (
	account_id VARCHAR NOT NULL, 
	delivery_id VARCHAR NOT NULL, 
	body TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	attempts INTEGER NOT NULL, 
	due_at BIGINT NOT NULL, 
	PRIMARY KEY (account_id, delivery_id)
);
CREATE TABLE alert_watches (
	account_id VARCHAR NOT NULL, 
	amount_microcredits BIGINT NOT NULL, 
	percent INTEGER NOT NULL, 
	is_above BOOLEAN NOT NULL, 
	period_starts_at BIGINT NOT NULL, 
	others_most_microcredits BIGINT NOT NULL, 
	fired_at BIGINT, 
	waits_at_microcredits BIGINT, 
	PRIMARY KEY (account_id, amount_microcredits, percent)
);
INSERT INTO "alert_watches" VALUES('ada',0,10,1,1795474800000000,14000000,NULL,NULL);
INSERT INTO "alert_watches" VALUES('ada',5000000,0,1,1795474800000000,14000000,NULL,NULL);
CREATE TABLE balance_days (
	account_id VARCHAR NOT NULL, 
	starts_at BIGINT NOT NULL, 
	last_entry BIGINT NOT NULL, 
	daily_microcredits BIGINT NOT NULL, 
	monthly_microcredits BIGINT NOT NULL, 
	permanent_microcredits BIGINT NOT NULL, 
	PRIMARY KEY (account_id, starts_at)
);
CREATE TABLE charges (
	account_id VARCHAR NOT NULL, 
	charge_id VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	reservation_id VARCHAR, 
	committed_at BIGINT NOT NULL, 
	posted_at BIGINT NOT NULL, 
	cost_microcredits BIGINT NOT NULL, 
	covered_microcredits BIGINT NOT NULL, 
	debt_microcredits BIGINT NOT NULL, 
	uncovered_microcredits BIGINT NOT NULL, 
	refunded_microcredits BIGINT NOT NULL, 
	duplicate_of VARCHAR, 
	body TEXT NOT NULL, 
	PRIMARY KEY (account_id, charge_id)
);
INSERT INTO "charges" VALUES('ada','chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000002','c-settled','res-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000001',1795521600000000,1795521600000000,2000000,2000000,0,0,0,NULL,'{"charge_id":"chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000002","account_id":"ada","request_id":"c-settled","reservation_id":"res-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000001","commit_number":1,"cost":2000000,"parts":[{"lease_id":"lea-wrpxyneih4gkxn6r-s57bb55672c49-1795521600000000","amount":2000000,"authorized_at":1795521600000000}],"excess":0,"exact_credits":"1.05","cost_usd":"0.0105","usage":{"action":"text","provider":"","request_model":"house-model","response_model":"house-model","input_tokens":2000,"output_tokens":300,"cache_read_input_tokens":null,"cache_creation_input_tokens":null,"cache_creation_1h_input_tokens":null,"reasoning_output_tokens":null,"audio_input_tokens":null,"audio_output_tokens":null,"image_input_tokens":null,"image_output_tokens":null,"quantity":null,"variant":"","tool":"","response_id":"","source":"PROVIDER","provider_usage_json":"","units":{},"served":{}},"rate_card_version":"house-1","authorized_at":1795521600000000,"committed_at":1795521600000000,"late":false,"flags":[],"labels":{"job":"r-settled"},"sent":true,"posting":{"posted_at":1795521600000000,"covered":2000000,"debt":0,"uncovered":0,"refunded":0,"draws":[{"grant_id":"daily-2026-11-24","kind":"DAILY","amount":2000000,"returned":0}],"duplicate_of":null},"priced_parts":[],"unread":[],"reported_cost_usd":null,"priced_at":1795521600000000,"stand_in":null}');
INSERT INTO "charges" VALUES('ada','chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000003','t-settled',NULL,1795521600000000,1795521600000000,3000000,3000000,0,0,500000,NULL,'{"charge_id":"chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000003","account_id":"ada","request_id":"t-settled","reservation_id":null,"commit_number":1,"cost":3000000,"parts":[{"lease_id":"lea-wrpxyneih4gkxn6r-s57bb55672c49-1795521600000000","amount":3000000,"authorized_at":1795521600000000}],"excess":0,"exact_credits":"3","cost_usd":"0.03","usage":{"action":"tool","provider":"","request_model":"","response_model":"","input_tokens":null,"output_tokens":null,"cache_read_input_tokens":null,"cache_creation_input_tokens":null,"cache_creation_1h_input_tokens":null,"reasoning_output_tokens":null,"audio_input_tokens":null,"audio_output_tokens":null,"image_input_tokens":null,"image_output_tokens":null,"quantity":3,"variant":"","tool":"web_search","response_id":"","source":"PROVIDER","provider_usage_json":"","units":{},"served":{}},"rate_card_version":"house-1","authorized_at":1795521600000000,"committed_at":1795521600000000,"late":false,"flags":[],"labels":{"job":"t-settled"},"sent":true,"posting":{"posted_at":1795521600000000,"covered":3000000,"debt":0,"uncovered":0,"refunded":500000,"draws":[{"grant_id":"daily-2026-11-24","kind":"DAILY","amount":3000000,"returned":500000}],"duplicate_of":null},"priced_parts":[],"unread":[],"reported_cost_usd":null,"priced_at":1795521600000000,"stand_in":null}');
CREATE TABLE chores (
	name VARCHAR NOT NULL, 
	due_at BIGINT NOT NULL, 
	place TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE exchanges (
	account_id VARCHAR NOT NULL, 
	sidecar_id VARCHAR NOT NULL, 
	epoch BIGINT NOT NULL, 
	seq BIGINT NOT NULL, 
	answer TEXT NOT NULL, answered_at BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (account_id, sidecar_id)
);
INSERT INTO "exchanges" VALUES('ada','s57bb55672c49',1,3,'{"seq":3,"account":{"account_id":"ada","created_at":1795521600000000,"plan_id":"basic","time_zone":"Asia/Tokyo","anchor_day":15,"state":"ACTIVE","overdraft_limit":0,"max_open_reservations":0,"max_reservation":0,"offline_allowance":0,"alerts":[{"amount":0,"percent":10},{"amount":5000000,"percent":0}]},"standing":{"as_of":1795521600000000,"available":322500000,"held":0,"unposted":0,"leased":158500000,"debt":0,"buckets":[{"kind":"DAILY","granted":20000000,"remaining":15500000,"next_reset_at":1795618800000000},{"kind":"MONTHLY","granted":300000000,"remaining":300000000,"next_reset_at":1797346800000000},{"kind":"PERMANENT","granted":7000000,"remaining":7000000,"next_reset_at":null}],"grants":[]},"leases":[{"lease_id":"lea-wrpxyneih4gkxn6r-s57bb55672c49-1795521600000000","opened_at":1795521600000000,"ends_at":1795618800000000,"limit":163500000,"posted":5000000}],"postings":{},"refund_postings":{},"granted":0,"short":0,"free":164000000,"elsewhere":0,"is_pending":false,"pending_for":0}',1795521600000000);
CREATE TABLE grants (
	account_id VARCHAR NOT NULL, 
	grant_id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	period_key VARCHAR, 
	effective_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	created_at BIGINT NOT NULL, 
	charge_id VARCHAR, 
	note TEXT NOT NULL, 
	amount_microcredits BIGINT NOT NULL, 
	remaining_microcredits BIGINT NOT NULL, 
	drawn_microcredits BIGINT NOT NULL, 
	refunded_microcredits BIGINT NOT NULL, 
	lapsed_microcredits BIGINT NOT NULL, 
	voided_microcredits BIGINT NOT NULL, voided_at BIGINT, begins_later BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (account_id, grant_id)
);
INSERT INTO "grants" VALUES('ada','daily-2026-11-24','DAILY','PLAN','2026-11-24',1795474800000000,1795618800000000,1795521600000000,NULL,'',20000000,15500000,5000000,500000,0,0,NULL,0);
INSERT INTO "grants" VALUES('ada','monthly-2026-11-15','MONTHLY','PLAN','2026-11-15',1794697200000000,1797346800000000,1795521600000000,NULL,'',300000000,300000000,0,0,0,0,NULL,0);
INSERT INTO "grants" VALUES('ada','gra-wrpxyneih4gkxn6r-cix224viwzw4wkol','PERMANENT','PROMOTION',NULL,1795521600000000,NULL,1795521600000000,NULL,'for the files',7000000,7000000,0,0,0,0,NULL,0);
INSERT INTO "grants" VALUES('ada','gra-wrpxyneih4gkxn6r-vworhqhe346bct5t','PERMANENT','BONUS',NULL,1795521600000000,NULL,1795521600000000,NULL,'for the files',7000000,0,0,0,0,7000000,1795521600000000,0);
CREATE TABLE history (
	account_id VARCHAR NOT NULL, 
	number BIGINT NOT NULL, 
	type VARCHAR NOT NULL, 
	amount_microcredits BIGINT NOT NULL, 
	balance_after_microcredits BIGINT NOT NULL, 
	occurred_at BIGINT NOT NULL, 
	posted_at BIGINT NOT NULL, 
	kind VARCHAR, 
	grant_id VARCHAR, 
	charge_id VARCHAR, 
	refund_id VARCHAR, 
	action VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	tool VARCHAR NOT NULL, 
	quantity BIGINT NOT NULL, 
	rate_card_version VARCHAR NOT NULL, 
	labels TEXT NOT NULL, 
	draws TEXT NOT NULL, 
	note TEXT NOT NULL, kinds INTEGER DEFAULT '0' NOT NULL, sources INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (account_id, number)
);
INSERT INTO "history" VALUES('ada',1,'GRANTED',20000000,20000000,1795521600000000,1795521600000000,'DAILY','daily-2026-11-24',NULL,NULL,'','','',0,'','{}','[]','',1,1);
INSERT INTO "history" VALUES('ada',2,'GRANTED',300000000,320000000,1795521600000000,1795521600000000,'MONTHLY','monthly-2026-11-15',NULL,NULL,'','','',0,'','{}','[]','',2,1);
INSERT INTO "history" VALUES('ada',3,'GRANTED',7000000,327000000,1795521600000000,1795521600000000,'PERMANENT','gra-wrpxyneih4gkxn6r-cix224viwzw4wkol',NULL,NULL,'','','',0,'','{}','[]','for the files',4,4);
INSERT INTO "history" VALUES('ada',4,'GRANTED',7000000,334000000,1795521600000000,1795521600000000,'PERMANENT','gra-wrpxyneih4gkxn6r-vworhqhe346bct5t',NULL,NULL,'','','',0,'','{}','[]','for the files',4,8);
INSERT INTO "history" VALUES('ada',5,'VOIDED',-7000000,327000000,1795521600000000,1795521600000000,'PERMANENT','gra-wrpxyneih4gkxn6r-vworhqhe346bct5t',NULL,NULL,'','','',0,'','{}','[]','',4,8);
INSERT INTO "history" VALUES('ada',6,'CHARGED',-2000000,325000000,1795521600000000,1795521600000000,NULL,NULL,'chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000002',NULL,'text','house-model','',1,'house-1','{"job":"r-settled"}','[{"grant_id":"daily-2026-11-24","kind":"DAILY","amount":2000000,"returned":0}]','',1,1);
INSERT INTO "history" VALUES('ada',7,'CHARGED',-3000000,322000000,1795521600000000,1795521600000000,NULL,NULL,'chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000003',NULL,'tool','','web_search',3,'house-1','{"job":"t-settled"}','[{"grant_id":"daily-2026-11-24","kind":"DAILY","amount":3000000,"returned":0}]','',1,1);
INSERT INTO "history" VALUES('ada',8,'REFUNDED',500000,322500000,1795521600000000,1795521600000000,NULL,NULL,'chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000003','ref-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000004','tool','','web_search',3,'house-1','{"job":"t-settled"}','[{"grant_id":"daily-2026-11-24","kind":"DAILY","amount":500000,"returned":0}]','late',1,1);
CREATE TABLE leases (
	account_id VARCHAR NOT NULL, 
	lease_id VARCHAR NOT NULL, 
	sidecar_id VARCHAR NOT NULL, 
	opened_at BIGINT NOT NULL, 
	ends_at BIGINT NOT NULL, 
	renewed_at BIGINT NOT NULL, 
	limit_microcredits BIGINT NOT NULL, 
	posted_microcredits BIGINT NOT NULL, 
	held_microcredits BIGINT NOT NULL, 
	unposted_microcredits BIGINT NOT NULL, 
	closed BOOLEAN NOT NULL, trusted_until BIGINT DEFAULT '0' NOT NULL, reclaim_at BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (account_id, lease_id)
);
INSERT INTO "leases" VALUES('ada','lea-wrpxyneih4gkxn6r-s57bb55672c49-1795521600000000','s57bb55672c49',1795521600000000,1795618800000000,1795521600000000,163500000,5000000,0,0,0,1795522205000000,1795525865000000);
CREATE TABLE plans (
	plan_id VARCHAR NOT NULL, 
	effective_at BIGINT NOT NULL, 
	daily_microcredits BIGINT NOT NULL, 
	monthly_microcredits BIGINT NOT NULL, 
	PRIMARY KEY (plan_id, effective_at)
);
INSERT INTO "plans" VALUES('basic',0,20000000,300000000);
CREATE TABLE rate_cards (
	document_version VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	number BIGINT NOT NULL, 
	effective_from BIGINT NOT NULL, 
	published_at BIGINT NOT NULL, 
	document TEXT NOT NULL, 
	price_list BLOB, 
	PRIMARY KEY (document_version), 
	UNIQUE (version), 
	UNIQUE (number)
);
INSERT INTO "rate_cards" VALUES('house-1','house-1',1,1767225600000000,1795521600000000,'version = "house-1"
effective_from = 2026-01-01T00:00:00Z
[text]
[[text.models]]
model = "house-model"
input = 3
output = 15
[tools]
default = 1
',NULL);
CREATE TABLE recalls (
	account_id VARCHAR NOT NULL, 
	sidecar_id VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	number BIGINT NOT NULL, 
	amount_microcredits BIGINT NOT NULL, 
	smallest_microcredits BIGINT NOT NULL, 
	asked_at BIGINT NOT NULL, 
	deadline BIGINT NOT NULL, 
	awaited TEXT NOT NULL, 
	is_ripe BOOLEAN NOT NULL, 
	PRIMARY KEY (account_id, sidecar_id, purpose)
);
CREATE TABLE refunds (
	account_id VARCHAR NOT NULL, 
	refund_id VARCHAR NOT NULL, 
	charge_id VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	posted_at BIGINT NOT NULL, 
	amount_microcredits BIGINT NOT NULL, 
	restored_microcredits BIGINT NOT NULL, 
	lapsed_microcredits BIGINT NOT NULL, 
	body TEXT NOT NULL, never_paid_microcredits BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (account_id, refund_id)
);
INSERT INTO "refunds" VALUES('ada','ref-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000004','chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000003','f-settled',1795521600000000,500000,500000,0,'{"refund_id":"ref-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000004","charge_id":"chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000003","account_id":"ada","request_id":"f-settled","amount":500000,"mode":"ORIGINAL","reason":"late","refunded_at":1795521600000000,"posting":{"posted_at":1795521600000000,"restored":500000,"lapsed":0,"never_paid":0}}',0);
CREATE TABLE refused_calls (
	account_id VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	refused_at BIGINT NOT NULL, 
	action VARCHAR NOT NULL, 
	required_microcredits BIGINT NOT NULL, 
	PRIMARY KEY (account_id, request_id)
);
CREATE TABLE requests (
	account_id VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	rpc VARCHAR NOT NULL, 
	request TEXT NOT NULL, 
	reply TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (account_id, request_id)
);
INSERT INTO "requests" VALUES('ada','a-ada','CreateAccount','{"request_id":"a-ada","account":{"account_id":"ada","created_at":0,"plan_id":"basic","time_zone":"Europe/Berlin","anchor_day":15,"state":"ACTIVE","overdraft_limit":0,"max_open_reservations":0,"max_reservation":0,"offline_allowance":0,"alerts":[{"amount":0,"percent":10},{"amount":5000000,"percent":0}]}}','{"account_id":"ada","created_at":1795521600000000,"plan_id":"basic","time_zone":"Europe/Berlin","anchor_day":15,"state":"ACTIVE","overdraft_limit":0,"max_open_reservations":0,"max_reservation":0,"offline_allowance":0,"alerts":[{"amount":0,"percent":10},{"amount":5000000,"percent":0}]}',1795521600000000);
INSERT INTO "requests" VALUES('ada','g-promotion','GrantCredits','{"request_id":"g-promotion","account_id":"ada","kind":"PERMANENT","amount":7000000,"effective_at":null,"expires_at":null,"source":"PROMOTION","note":"for the files"}','{"grant_id":"gra-wrpxyneih4gkxn6r-cix224viwzw4wkol","kind":"PERMANENT","amount":7000000,"remaining":7000000,"effective_at":1795521600000000,"expires_at":null,"source":"PROMOTION","created_at":1795521600000000,"note":"for the files","period_key":null,"charge_id":null,"drawn":0,"refunded":0,"lapsed":0,"voided":0,"voided_at":null}',1795521600000000);
INSERT INTO "requests" VALUES('ada','g-voided','GrantCredits','{"request_id":"g-voided","account_id":"ada","kind":"PERMANENT","amount":7000000,"effective_at":null,"expires_at":null,"source":"BONUS","note":"for the files"}','{"grant_id":"gra-wrpxyneih4gkxn6r-vworhqhe346bct5t","kind":"PERMANENT","amount":7000000,"remaining":7000000,"effective_at":1795521600000000,"expires_at":null,"source":"BONUS","created_at":1795521600000000,"note":"for the files","period_key":null,"charge_id":null,"drawn":0,"refunded":0,"lapsed":0,"voided":0,"voided_at":null}',1795521600000000);
INSERT INTO "requests" VALUES('ada','v-voided','VoidGrant','{"request_id":"v-voided","account_id":"ada","grant_id":"gra-wrpxyneih4gkxn6r-vworhqhe346bct5t"}','{"grant":{"grant_id":"gra-wrpxyneih4gkxn6r-vworhqhe346bct5t","kind":"PERMANENT","amount":7000000,"remaining":0,"effective_at":1795521600000000,"expires_at":null,"source":"BONUS","created_at":1795521600000000,"note":"for the files","period_key":null,"charge_id":null,"drawn":0,"refunded":0,"lapsed":0,"voided":7000000,"voided_at":1795521600000000},"amount":7000000}',1795521600000000);
INSERT INTO "requests" VALUES('ada','u-moved','UpdateAccount','{"request_id":"u-moved","account_id":"ada","update":{"plan_id":null,"time_zone":"Asia/Tokyo","anchor_day":null,"state":null,"overdraft_limit":null,"max_open_reservations":null,"max_reservation":null,"offline_allowance":null,"alerts":null}}','{"account_id":"ada","created_at":1795521600000000,"plan_id":"basic","time_zone":"Asia/Tokyo","anchor_day":15,"state":"ACTIVE","overdraft_limit":0,"max_open_reservations":0,"max_reservation":0,"offline_allowance":0,"alerts":[{"amount":0,"percent":10},{"amount":5000000,"percent":0}]}',1795521600000000);
INSERT INTO "requests" VALUES('ada','f-settled','RefundCharge','{"request_id":"f-settled","charge_id":"chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000003","amount":500000,"mode":"ORIGINAL","reason":"late"}','{"refund_id":"ref-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000004","charge_id":"chg-wrpxyneih4gkxn6r-s57bb55672c49-8a591b8c1f0000000003","account_id":"ada","request_id":"f-settled","amount":500000,"mode":"ORIGINAL","reason":"late","refunded_at":1795521600000000,"posting":{"posted_at":1795521600000000,"restored":500000,"lapsed":0,"never_paid":0}}',1795521600000000);
CREATE TABLE sidecars (
	sidecar_id VARCHAR NOT NULL, 
	epoch BIGINT NOT NULL, 
	nonce VARCHAR NOT NULL, 
	registered_at BIGINT NOT NULL, last_seen_at BIGINT DEFAULT '0' NOT NULL, lease_ttl BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (sidecar_id)
);
INSERT INTO "sidecars" VALUES('s57bb55672c49',1,'97c4be80176f1352',1795521600000000,1795521600000000,600000000);
CREATE INDEX charges_by_reservation ON charges (account_id, reservation_id);
CREATE INDEX charges_by_request ON charges (account_id, request_id);
CREATE INDEX charges_with_debt ON charges (account_id) WHERE debt_microcredits > 0;
CREATE INDEX grants_by_period ON grants (account_id, period_key);
CREATE INDEX leases_open ON leases (account_id) WHERE closed IS 0;
CREATE INDEX leases_open_by_sidecar ON leases (sidecar_id) WHERE closed IS 0;
CREATE INDEX refunds_by_charge ON refunds (account_id, charge_id);
CREATE INDEX leases_by_reclaim ON leases (reclaim_at) WHERE NOT closed;
CREATE INDEX recalls_by_deadline ON recalls (deadline);
CREATE INDEX refunds_by_request ON refunds (account_id, request_id);
CREATE INDEX grants_by_creation ON grants (account_id, created_at, grant_id);
CREATE INDEX charges_by_commit ON charges (account_id, committed_at, charge_id);
CREATE INDEX refused_calls_by_time ON refused_calls (account_id, refused_at);
CREATE INDEX alert_deliveries_by_due ON alert_deliveries (due_at);
CREATE INDEX grants_by_beginning ON grants (account_id, kind, effective_at, remaining_microcredits) WHERE remaining_microcredits > 0;
CREATE INDEX history_by_time ON history (account_id, occurred_at, number);
CREATE INDEX grants_voided ON grants (account_id) WHERE voided_at IS NOT NULL AND remaining_microcredits > 0;
CREATE INDEX leases_closed ON leases (ends_at) WHERE closed IS 1;
CREATE INDEX requests_by_time ON requests (created_at);
CREATE INDEX refused_calls_by_age ON refused_calls (refused_at);
CREATE INDEX grants_with_credit ON grants (account_id, kind, coalesce(expires_at, 9223372036854775807), effective_at, grant_id) WHERE remaining_microcredits > 0 AND begins_later IS 0;
CREATE INDEX grants_to_come ON grants (account_id, effective_at) WHERE remaining_microcredits > 0 AND begins_later IS 1;
COMMIT;
