#!/bin/sh
# Routes for backend.identity = "transparent", on the host that prescreen runs on.
#
#   transparent.sh up ADDRESS PORT      before prescreen starts; once more changes nothing
#   transparent.sh down ADDRESS PORT    when it is gone for good
#
# prescreen connects to the backend at ADDRESS:PORT from the client's own address. The backend's answers go to that
# address, so they must be led back to prescreen instead of out to the Internet:
#
# - If the backend runs on this host (ADDRESS is one of its own, 127.0.0.1 and ::1 included), this script is all.
# - If it runs on another, that host's route to the Internet must lead through this one (its default gateway, or a rule
#   for what leaves port PORT), and this host must have forwarding on for everything else that passes. The answers
#   come in by a network interface whose reverse path filter must be loose: net.ipv4.conf.INTERFACE.rp_filter=2.
#
# prescreen itself needs the capability CAP_NET_ADMIN. Nothing here outlives a reboot: the unit calls it at each start
# (docs/identity.md has the lines).
set -eu

TABLE=2525

usage() {
    sed -n 's/^#  *\(transparent.sh .*\)/\1/p' "$0" >&2
    exit 64
}

[ $# -eq 3 ] || usage
action=$1 address=$2 port=$3
case $address in
    *:*) family=-6 everything=::/0 ;;
    *) family=-4 everything=0.0.0.0/0 ;;
esac

# TCP by its number: a small Debian has no /etc/protocols to look its name up in.
rule() { ip $family rule "$1" from "$address" ipproto 6 sport "$port" lookup $TABLE; }
# The kernel takes a rule that is there a second time, at another priority.
stands() { [ -n "$(rule list)" ]; }

case $action in
    up)
        # What the backend says is for this host, whoever it is addressed to.
        ip $family route replace local $everything dev lo table $TABLE
        stands || rule add
        ;;
    down)
        while stands; do rule del; done
        ;;
    *) usage ;;
esac
