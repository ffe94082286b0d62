"""Packs built functions as Lambda takes them: a zip with one program named bootstrap. Unchanged ones are left."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

built, folder, *functions = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
for name in functions:
    program, packed = os.path.join(built, name), os.path.join(folder, f"{name}.zip")
    if os.path.exists(packed) and os.path.getmtime(packed) > os.path.getmtime(program):
        continue
    with tempfile.TemporaryDirectory() as work:
        stripped = os.path.join(work, "bootstrap")
        shutil.copy(program, stripped)
        # Debug symbols make it ten times as large.
        subprocess.run(["strip", stripped], check=False)
        with zipfile.ZipFile(packed + ".new", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(stripped, "bootstrap")
    os.replace(packed + ".new", packed)
