-- A host whose records are read. seen: Unix seconds, when it was read up to its end last; 0: never. trouble: why the last reading was none.
CREATE TABLE host (
	id TEXT PRIMARY KEY,
	name TEXT NOT NULL,
	here INTEGER NOT NULL, -- it is one of the cluster's
	seen INTEGER NOT NULL DEFAULT 0,
	trouble TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- A series of revisions of a host (usage.Answer.Book), and how far it has been read: up to this revision of minutes.
CREATE TABLE book (
	host TEXT NOT NULL,
	book TEXT NOT NULL,
	minute INTEGER NOT NULL,
	lost INTEGER NOT NULL, -- minutes that the host did not have any more
	read INTEGER NOT NULL, -- Unix seconds, of the last reading
	PRIMARY KEY (host, book)
) WITHOUT ROWID;

-- Of the hour of a book's revisions that was read in part: what was read, for when only the hour as a whole can be read.
CREATE TABLE part (
	host TEXT NOT NULL,
	book TEXT NOT NULL,
	ctid INTEGER NOT NULL,
	account TEXT NOT NULL,
	seconds REAL NOT NULL,
	ram_mean INTEGER NOT NULL,
	ram_peak INTEGER NOT NULL,
	ram_peak_at INTEGER NOT NULL,
	cpu INTEGER NOT NULL,
	read INTEGER NOT NULL,
	written INTEGER NOT NULL,
	net_in INTEGER NOT NULL,
	net_out INTEGER NOT NULL,
	PRIMARY KEY (host, book, ctid, account)
) WITHOUT ROWID;

-- What a node used in an hour of the clock (hours.Row).
CREATE TABLE hour (
	start INTEGER NOT NULL, -- Unix seconds
	ctid INTEGER NOT NULL,
	account TEXT NOT NULL,
	env TEXT NOT NULL,
	host TEXT NOT NULL,
	seconds REAL NOT NULL,
	ram_peak INTEGER NOT NULL,    -- bytes
	ram_peak_at INTEGER NOT NULL, -- Unix seconds; 0: no sample
	cpu INTEGER NOT NULL,         -- microseconds
	cpu_mhz INTEGER NOT NULL,     -- that by the host's MHz
	reserved INTEGER NOT NULL,    -- cloudlets
	disk_seconds REAL NOT NULL,   -- bytes by seconds
	read INTEGER NOT NULL,
	written INTEGER NOT NULL,
	net_in INTEGER NOT NULL,
	net_out INTEGER NOT NULL,
	PRIMARY KEY (start, ctid, account, env, host)
) WITHOUT ROWID;

CREATE INDEX hour_of_account ON hour (account, start);
