"""The office's own store, over SQLite and Postgres, by SQLAlchemy Core.

`tables` says what is kept, `migrations` how it came to be so, `database` how it is read and
changed; then a file per word: `keys`, `accounts`, `cases`, `opening`, `proposals`, `audit`,
`outbox`, `seals`. `office` puts them together.
"""

from alcyon.io.office.database import Place
from alcyon.io.office.office import SqlOffice

__all__ = ["Place", "SqlOffice"]
