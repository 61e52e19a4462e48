#!/usr/bin/env bash
# Makes the bundled model, from text to the packed weights in models/cadre-s: ./dev train-bundled [WORK]
#   train.sh CADRE DATA WORK MODEL
# CADRE is the program, DATA the folder with text/ and eval/gsm8k/, WORK where everything on the way goes, MODEL the
# folder to write. Interrupted, it goes on where it was. The same program and data give the same weights to the bit.
set -euo pipefail

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
cadre=$(readlink -f "$1")
data=$(readlink -f "$2")
work=$3
model=$(readlink -m "$4")
sources=(books tales tale_questions dialogues word_problems instructions generated calculations)

# once NAME COMMAND...: runs the command unless a file or folder NAME, which it makes, is there.
once() {
  local name=$1
  shift
  [[ -e $name ]] || "$@"
}

# run_training CONFIG: from nothing or from its last checkpoint.
run_training() {
  if compgen -G "$(basename "$1" .json)/step-*" >/dev/null; then "$cadre" train "$1" --resume; else "$cadre" train "$1"; fi
}

corpus() {
  python3 "$here/../corpus/assemble.py" --data "$data" --out corpus.partial --megabytes 30
  mv corpus.partial corpus
}

mkdir -p "$work/shards"
cp "$here"/{shape,pretrain,chat}.json "$work"
cd "$work"
once corpus corpus
once tokenizer "$cadre" data tokenizer --size 4096 --out tokenizer corpus/{books,tales,dialogues,word_problems,generated,instructions}.jsonl
for source in "${sources[@]}"; do
  once "shards/$source" "$cadre" data prepare --tokenizer tokenizer --out "shards/$source" --held-out 0.01 --seed 1 "corpus/$source.jsonl"
done

run_training pretrain.json
ln -sfn "$(printf '%s\n' pretrain/step-* | tail -n 1)" pretrained
run_training chat.json

rm -rf "$model.new"
"$cadre" quantize "$(printf '%s\n' chat/step-* | tail -n 1)" "$model.new" --type q8
cp "$here/generation_config.json" "$model.new"
python3 "$here/attribution.py" --data "$data/text" --out "$model.new"
python3 "$here/card.py" --cadre "$cadre" --work . --model "$model.new" --name "$(basename "$model")"
rm -rf "$model"
mv "$model.new" "$model"
printf '%s\n' "$model"
