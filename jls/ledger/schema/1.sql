-- Times are Unix seconds, UTC. 0 means never.
CREATE TABLE licenses (
  id       TEXT PRIMARY KEY,
  customer TEXT NOT NULL,
  hosts    INTEGER NOT NULL CHECK (hosts > 0),
  issued   INTEGER NOT NULL,
  expires  INTEGER NOT NULL,
  revoked  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE installations (
  id        TEXT PRIMARY KEY,
  key       BLOB NOT NULL CHECK (length(key) = 32),
  cluster   TEXT NOT NULL,
  name      TEXT NOT NULL,
  version   TEXT NOT NULL,
  license   TEXT NOT NULL REFERENCES licenses (id),
  seq       INTEGER NOT NULL,
  activated INTEGER NOT NULL,
  seen      INTEGER NOT NULL,
  lease     INTEGER NOT NULL DEFAULT 0,
  released  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A licence is active on one installation at a time; the database itself refuses a second.
CREATE UNIQUE INDEX one_installation_a_licence ON installations (license) WHERE released = 0;

-- n grows: it is the order hosts were first reported in, which decides who is over the count.
CREATE TABLE seats (
  n            INTEGER PRIMARY KEY AUTOINCREMENT,
  installation TEXT NOT NULL REFERENCES installations (id),
  host         TEXT NOT NULL,
  name         TEXT NOT NULL,
  fingerprint  TEXT NOT NULL,
  UNIQUE (installation, host)
) STRICT;

CREATE TABLE audit (
  n      INTEGER PRIMARY KEY AUTOINCREMENT,
  at     INTEGER NOT NULL,
  who    TEXT NOT NULL,
  what   TEXT NOT NULL,
  object TEXT NOT NULL,
  result TEXT NOT NULL
) STRICT;
