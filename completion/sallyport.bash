# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for sallyport. What can be typed comes from `sallyport help --list`, so that it is
# never behind the program; names come from the daemon, and are left out where it does not answer.
# shellcheck shell=bash

# The listing of the installed program, read once.
_sallyport_listing() {
	[ -n "${_sallyport_list-}" ] || _sallyport_list=$("$1" help --list 2>/dev/null)
	printf '%s\n' "$_sallyport_list"
}

# Names of things: _sallyport_names PROGRAM FIELD COMMAND...
_sallyport_names() {
	local program=$1 field=$2
	shift 2
	"$program" --timeout 1 --json "$@" 2>/dev/null |
		sed -n 's/^ *"'"$field"'": "\{0,1\}\([A-Za-z0-9_.@-]\{1,\}\)"\{0,1\},\{0,1\}$/\1/p' |
		sort -u
}

# What may stand for a value: _sallyport_values PROGRAM KIND USER
_sallyport_values() {
	case $2 in
	USER) _sallyport_names "$1" name user list ;;
	WORKLOAD) _sallyport_names "$1" name workload list ${3:+--user "$3"} ;;
	MACHINE) _sallyport_names "$1" name machine list ${3:+--user "$3"} ;;
	SESSION | 'SESSION|ID') _sallyport_names "$1" id session list ;;
	PROTOCOL) echo tcp udp icmp icmpv6 sctp dccp udplite gre esp ah ;;
	STATE) echo syn-sent syn-recv established fin-wait close-wait last-ack time-wait close syn-sent2 unreplied replied stream ;;
	INSTANCE) _sallyport_names "$1" name status ;;
	NETNS) [ ! -d /run/netns ] || ls /run/netns ;;
	COMMAND) _sallyport_listing "$1" | awk -F'\t' '$1 == "command" { split($2, w, " "); print w[1] }' | sort -u ;;
	SUBCOMMAND) _sallyport_listing "$1" | awk -F'\t' -v g="$3" '
		$1 == "command" { n = split($2, w, " "); if (n == 2 && w[1] == g) print w[2] }' ;;
	esac
}

# Does the option $2 of the command $3 take a value, and which? Of a global one, too.
_sallyport_option_value() {
	_sallyport_listing "$1" | awk -F'\t' -v o="$2" -v c="$3" '
		($1 == "global" || $1 == "option" && $2 == c) && ($3 == o || $4 == o) { print $5; exit }'
}

# Words of the listing that complete what was typed.
_sallyport_reply() {
	local kind=$1 words=$2 cur=$3
	case $kind in
	FILE | PATH) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
	esac
}

_sallyport() {
	local program=${COMP_WORDS[0]} cur=${COMP_WORDS[COMP_CWORD]}
	local command='' group='' value='' word kind i n=0
	local positional=()
	COMPREPLY=()

	# What the words before this one say: the command, its arguments, an option that awaits a value.
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [ -n "$value" ]; then
			[ "$word" = = ] && continue # bash takes --option=value apart
			value=''
		elif [[ $word == -* ]]; then
			value=$(_sallyport_option_value "$program" "$word" "$command")
		elif [ -n "$command" ]; then
			positional+=("$word")
		elif _sallyport_listing "$program" | grep -q "^command	${group:+$group }$word	"; then
			command="${group:+$group }$word"
		else
			group=$word
		fi
	done
	[ "$cur" = = ] && cur=''

	if [ -n "$value" ]; then
		_sallyport_reply "$value" "$(_sallyport_values "$program" "$value" "")" "$cur"
	elif [[ $cur == -* ]]; then
		_sallyport_reply '' "$(_sallyport_listing "$program" | awk -F'\t' -v c="$command" '
			$1 == "global" || $1 == "option" && $2 == c { print $3; if ($4 ~ /-/) print $4 }')" "$cur"
	elif [ -z "$command" ] && [ -n "$group" ]; then
		_sallyport_reply '' "$(_sallyport_values "$program" SUBCOMMAND "$group")" "$cur"
	elif [ -z "$command" ]; then
		_sallyport_reply '' "$(_sallyport_values "$program" COMMAND)" "$cur"
	else
		n=${#positional[@]}
		kind=$(_sallyport_listing "$program" | awk -F'\t' -v c="$command" -v n="$n" '
			$1 == "argument" && $2 == c && i++ == n { gsub(/[][]/, "", $3); print $3 }')
		_sallyport_reply "$kind" "$(_sallyport_values "$program" "$kind" "${positional[0]-}")" "$cur"
	fi
}

complete -F _sallyport sallyport
