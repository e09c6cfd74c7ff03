# Puts the message on standard input into a folder, under a name that it gets when it is whole.
umask 022
mkdir -p "$1"
name=$1/$(date +%s.%N).$$
{ echo "Delivered-To: $2@example.org"; cat; } >"$name.part" && mv "$name.part" "$name"
