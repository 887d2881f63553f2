# Builds the examples and runs them, after `npm run build`, in the repository's root.
set -e
L=$PWD/zig/zig-out/lib
O=$(mktemp -d)
for name in publish subscribe import; do
  zig cc -Izig/include -o $O/$name examples/c/$name.c -L$L -lcuframes -Wl,-rpath,$L
done
$O/publish &
$O/subscribe
wait $!
$O/import
rm -r $O
