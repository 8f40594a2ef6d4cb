# SPDX-License-Identifier: Apache-2.0
# fish completion for vipctl: /usr/share/fish/vendor_completions.d/vipctl.fish

function __vipctl_first
    test (count (commandline -opc)) -eq 1
end
function __vipctl_lists
    set -l words (commandline -opc)
    test (count $words) -gt 1; and not string match -qr -- '^(-S|--save|-h|--help|-v|--version)' $words[2]
end
function __vipctl_shows
    set -l words (commandline -opc)
    test (count $words) -gt 1; and not string match -qr -- '^(-h|--help|-v|--version)' $words[2]
end

complete -c vipctl -f
complete -c vipctl -n __vipctl_first -s L -l list -d 'list services and destinations'
complete -c vipctl -n __vipctl_first -s S -l save -d 'the table as rules'
complete -c vipctl -n __vipctl_first -s h -l help -d 'a summary of the options'
complete -c vipctl -n __vipctl_first -s v -l version -d 'the version'
complete -c vipctl -s o -l output -x -a 'text json prometheus' -d format
complete -c vipctl -n __vipctl_shows -s n -l numeric -d 'numbers instead of names'
complete -c vipctl -n __vipctl_shows -l sort -d 'nothing: sorting is the default'
complete -c vipctl -n __vipctl_lists -l nosort -d 'the order of the kernel'
complete -c vipctl -n __vipctl_lists -s X -l exact -d 'counters and rates in full'
complete -c vipctl -n __vipctl_lists -s t -l tcp-service -x -d 'a TCP service'
complete -c vipctl -n __vipctl_lists -s u -l udp-service -x -d 'a UDP service'
complete -c vipctl -n __vipctl_lists -l sctp-service -x -d 'an SCTP service'
complete -c vipctl -n __vipctl_lists -s f -l fwmark-service -x -d 'the service of a firewall mark'
complete -c vipctl -n __vipctl_lists -s 6 -l ipv6 -d 'the mark is for IPv6'
complete -c vipctl -n __vipctl_lists -l stats -d counters
complete -c vipctl -n __vipctl_lists -l rate -d 'what passes per second'
complete -c vipctl -n __vipctl_lists -l thresholds -d 'limits of connections'
complete -c vipctl -n __vipctl_lists -l persistent-conn -d 'persistent connections'
complete -c vipctl -n __vipctl_lists -l tun-info -d 'how destinations are tunnelled to'
complete -c vipctl -n __vipctl_lists -s c -l connection -d connections
complete -c vipctl -n __vipctl_lists -l timeout -d 'timeouts of connections'
complete -c vipctl -n __vipctl_lists -l daemon -d 'daemons that synchronise connections'
