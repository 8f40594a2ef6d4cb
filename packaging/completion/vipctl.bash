# SPDX-License-Identifier: Apache-2.0
# bash completion for vipctl: /usr/share/bash-completion/completions/vipctl

_vipctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev="" i
	local commands='-L --list -S --save -h --help -v --version'
	local options='-n --numeric --nosort --sort -X --exact -o --output
		-t --tcp-service -u --udp-service --sctp-service -f --fwmark-service -6 --ipv6
		--stats --rate --thresholds --persistent-conn --tun-info
		-c --connection --timeout --daemon'
	COMPREPLY=()
	((COMP_CWORD < 1)) || prev=${COMP_WORDS[COMP_CWORD - 1]}
	# readline breaks words at "="
	if [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $cur == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 1]}
		cur=
	fi
	case $prev in
	-o | --output)
		options='text json prometheus'
		;;
	-t | --tcp-service | -u | --udp-service | --sctp-service | -f | --fwmark-service)
		return
		;;
	*)
		((COMP_CWORD > 1)) || options="$commands -o --output"
		for ((i = 1; i < COMP_CWORD; i++)); do
			case ${COMP_WORDS[i]} in
			-S | --save) options='-n --numeric --sort -o --output' ;;
			-h | --help | -v | --version) return ;;
			esac
		done
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
}
complete -F _vipctl vipctl
