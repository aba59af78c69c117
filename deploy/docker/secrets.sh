#!/bin/sh
# Makes the secrets that compose.yaml mounts; what is there stays as it is.
#
#     sh deploy/docker/secrets.sh [FOLDER]        (secrets)
#
# Only you can enter the folder. Its files are readable to all: in a container they are read by
# users that this machine does not know.
set -eu
folder=${1:-secrets}
umask 077
mkdir -p "$folder"
cd "$folder"

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

keep() { # name, value
    [ -e "$1" ] || (printf '%s\n' "$2" >"$1" && chmod 0444 "$1" && echo "made $folder/$1" >&2)
}

# For what others give you: slack_url, smtp_password (deploy/alertmanager).
[ -d alertmanager ] || mkdir -m 0755 alertmanager
keep postgres_password "$(random)"
keep redis_password "$(random)"
keep grafana_password "$(random)"
keep ALCYON_TOKEN__KEY "$(random)"
keep ALCYON_POSTGRES__DSN "postgresql://alcyon:$(cat postgres_password)@postgres:5432/alcyon"
keep ALCYON_REDIS__URL "redis://:$(cat redis_password)@redis:6379/0"
keep redis.conf "requirepass $(cat redis_password)"
