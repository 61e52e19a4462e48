#!/bin/sh
# Make the stand-in model from the text files: tools/standin/run.sh DATA_DIR WORK_DIR MODEL_DIR [MINUTES]
# One CPU thread.  The sgemm shim is used when it compiles.  The four phases are those of the
# published weights; how many steps each one gets depends on the machine, because it is timed.
set -e
here=$(cd "$(dirname "$0")" && pwd)
data=$1 work=$2 model=$3 minutes=${4:-74}
py=${PYTHON:-/usr/bin/python3}
mkdir -p "$work" "$model"
if gcc -O2 -shared -fPIC "$here/sgemm_shim.c" -o "$work/shim.so" -l:libdnnl.so.2 2>/dev/null; then
    export LD_PRELOAD="$work/shim.so"
fi
# keep freed blocks: large tensors would otherwise be mapped anew each step
export OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=256000000
[ -f "$work/train.npz" ] || $py "$here/data.py" --data "$data" --out "$work"

phase() {
    nice -n 5 $py "$here/train.py" --out "$work" --minutes "$minutes" --bias-u 3e-3 "$@"
}
phase --stop 0.28 --seq 256 --batch 16 --micro 16
phase --stop 0.42 --seq 128 --batch 16 --micro 16 --share chat=0.74,stories=0.08,books=0.07,tales=0.03,dialogues=0.08
phase --stop 0.75 --seq 128 --batch 16 --micro 16 --lr 8e-3 --adam-lr 4e-3 --answers 0.85 \
    --share chat=0.84,stories=0.06,books=0.05,tales=0.01,dialogues=0.04
phase --seq 256 --batch 8 --micro 8 --lr 8e-3 --adam-lr 4e-3 --answers 0.85 \
    --share chat=0.80,stories=0.06,books=0.06,tales=0.03,dialogues=0.05
$py "$here/export.py" --work "$work" --out "$model"
$py "$here/attribution.py" --data "$data" --out "$model"
$py "$here/card.py" --work "$work" --model "$model"
