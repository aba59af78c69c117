#!/bin/sh
# A model of simulated traffic, for a deployment that has none yet: without one, rules and the
# fallback action decide alone. Yours is made in the same way of your own history (alcyon train).
#
#     first_model.sh FOLDER
set -eu
model=${1:?give the folder that the model goes to}
[ -e "$model/manifest.json" ] && exit 0

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
alcyon generate --transactions "${FIRST_MODEL_TRANSACTIONS:-200000}" --seed 1 \
    --start "$(date -u -d '-40 days' +%Y-%m-%dT%H:%M:%S)" \
    --out "$made/t.parquet" --labels-out "$made/l.parquet"
alcyon train --input "$made/t.parquet" --labels "$made/l.parquet" --out "$made/model"
# Whole or not at all, whenever this is stopped.
rm -rf "$model.part"
cp -R "$made/model" "$model.part"
mv "$model.part" "$model"
