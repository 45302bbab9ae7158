#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Does the completion offer every command and option, the names that the daemon knows, and stay quiet
# where there is no daemon?  completion.sh BUILD-DIR; what is wrong is printed.
set -u
build=$(realpath "${1:-build}")
cd "$(dirname "$0")/../.." || exit 1
PATH=$build:$PATH
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export SALLYPORT_SOCKET=$dir/none
failed=0
# shellcheck disable=SC1091 # linted by itself
. completion/sallyport.bash

# offers WORD... CURRENT: what is offered for the last word, one a line, sorted.
offers() {
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	COMPREPLY=()
	_sallyport 2>"$dir/err"
	[ ! -s "$dir/err" ] || wrong "'$*' was not quiet: $(head -n 1 "$dir/err")"
	printf '%s\n' "${COMPREPLY[@]}" | sort
}

wrong() {
	echo "$*"
	failed=1
}

# has EXPECTED WORD...: EXPECTED is among what is offered.
has() {
	local want=$1
	shift
	offers "$@" | grep -qxF -e "$want" || wrong "'$*': '$want' is not offered"
}

# is EXPECTED WORD...: exactly that is offered.
is() {
	local want=$1 got
	shift
	got=$(offers "$@" | tr '\n' ' ')
	[ "$got" = "$want " ] || wrong "'$*': expected '$want', was offered '$got'"
}

# Everything in the tables.
n=0
while IFS=$'\t' read -r kind command option; do
	# shellcheck disable=SC2086 # a command may be two words
	case $kind in
	global) has "$option" sallyport status -- ;;
	option) has "$option" sallyport $command -- ;;
	command)
		# shellcheck disable=SC2206
		words=($command)
		has "${words[-1]}" sallyport "${words[@]:0:${#words[@]}-1}" ""
		;;
	esac
	n=$((n + 1))
done < <(sallyport help --list | awk -F'\t' '{ print $1 "\t" ($2 == "" ? "-" : $2) "\t" $3 }' |
	grep -v ^argument)
[ "$n" -gt 40 ] || wrong "the listing has only $n entries"

is 'counters' sallyport cou
is 'list' sallyport --json session l
is 'kill list' sallyport session ''
is '--pcap' sallyport monitor --p
is '' sallyport user add --address ''
is '' sallyport nosuch ''
is 'user' sallyport --socket /x us

# No daemon: no names, no noise.
is '' sallyport user passwd ''
is '' sallyport session kill ''

# A stand-in that answers as the daemon would: names come through.
cat >"$dir/sallyport" <<'END'
#!/bin/bash
case "$*" in
"help --list") exec "$REAL" help --list ;;
*"user list"*) printf '[\n  {\n    "id": 1,\n    "name": "alice"\n  },\n  {\n    "name": "bo\\u0007b"\n  },\n  {\n    "name": "carol"\n  }\n]\n' ;;
*"workload list --user alice"*) printf '[\n  {\n    "user": "alice",\n    "name": "web",\n  }\n]\n' ;;
*"session list"*) printf '[\n  {\n    "id": 42,\n    "user": "alice"\n  }\n]\n' ;;
*status*) printf '{\n  "instances": [\n    {\n      "name": "main",\n      "mode": "vlan"\n    }\n  ]\n}\n' ;;
esac
END
chmod +x "$dir/sallyport"
export REAL=$build/sallyport
PATH=$dir:$PATH
is 'alice carol' sallyport user passwd ''
is 'carol' sallyport user delete c
is 'web' sallyport workload remove alice ''
is 'alice carol' sallyport policy show ''
is 'completion' sallyport policy check compl
is 'alice carol' sallyport workload list --user ''
is '42' sallyport session kill ''
is '42' sallyport trace ''
is 'main' sallyport session list --instance ''
is 'alice' sallyport session list --user = a

exit $failed
