-- What the director names. A program of schema 1 may work on this database: it knows nothing of releases and leaves them as they are.
CREATE TABLE releases (
  path    TEXT PRIMARY KEY,
  release TEXT NOT NULL,
  length  INTEGER NOT NULL CHECK (length >= 0),
  digest  TEXT NOT NULL
) STRICT;

CREATE TABLE assigned (
  installation TEXT NOT NULL REFERENCES installations (id),
  release      TEXT NOT NULL,
  PRIMARY KEY (installation, release)
) STRICT;

-- The newest documents signed for an installation; their version counters only rise.
CREATE TABLE documents (
  installation TEXT PRIMARY KEY REFERENCES installations (id),
  targets      BLOB NOT NULL,
  snapshot     BLOB NOT NULL,
  timestamp    BLOB NOT NULL
) STRICT;

CREATE TABLE readers (version INTEGER NOT NULL) STRICT;
INSERT INTO readers VALUES (1);
