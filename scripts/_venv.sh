# shellcheck shell=bash
# Sourced by the scripts beside it: finds a Python and keeps .venv in step with pyproject.toml and constraints.txt.

repo=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$repo/.venv
python=$venv/bin/python

# Prints the Python to make .venv from: $PYTHON, or the first that is new enough and can make one.
find_python() {
  local candidate without_venv=
  local -a candidates=(python3.13 python3.12 python3.11 python3)
  if [[ -n ${PYTHON:-} ]]; then candidates=("$PYTHON"); fi
  for candidate in "${candidates[@]}"; do
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
    without_venv=${without_venv:-$candidate}
  done
  if [[ -n $without_venv ]]; then
    echo "$without_venv cannot make a virtual environment: it lacks ensurepip." \
      "On Debian or Ubuntu: apt-get install python3-venv" >&2
  else
    echo "manyhands needs Python 3.11 or newer; looked for: ${candidates[*]}." \
      "On Debian or Ubuntu: apt-get install python3 python3-venv. Or name one: PYTHON=/path/to/python3 $0" >&2
  fi
  return 1
}

# make_venv run|dev: .venv holds the project, editable; for dev also what tests and lint need. Quick when up to date.
make_venv() {
  local kind=$1 target=$repo want found
  if [[ $kind == dev ]]; then target="${repo}[dev]"; fi
  want="$repo $(cat -- "$repo/pyproject.toml" "$repo/constraints.txt" | cksum)"
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    for found in "$venv/installed-dev" "$venv/installed-$kind"; do
      if [[ -f $found && $(<"$found") == "$want" ]]; then return; fi
    done
  else
    found=$(find_python)
    rm -rf -- "$venv"
    "$found" -m venv -- "$venv"
  fi
  echo "Installing into $venv; this takes a minute, once." >&2
  rm -f -- "$venv"/installed-*
  local -a pip=("$python" -m pip --disable-pip-version-check install --quiet --constraint "$repo/constraints.txt")
  "${pip[@]}" setuptools
  "${pip[@]}" --no-build-isolation --editable "$target"
  printf '%s\n' "$want" >"$venv/installed-$kind"
}
