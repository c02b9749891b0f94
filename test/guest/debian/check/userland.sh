# What busybox's programs print and make, a line a result, the same wherever it runs: in a guest, or on the host.
# Leaves out: whatever has the time, the user, the machine or the terminal in it.
#   userland.sh FOLDER   FOLDER is empty, and is left full
cd "$1" || exit 1
sum() { sha256sum | cut -c1-16; }
result() { echo "$1: $(sum)"; }

# The shell.
a=1; b=2
f() { local a=5; echo "$a$b$#$*"; }
echo "shell: $((a + b * 0x10)) $(f x 'y z') ${a:-no}${c:-none}${b:+yes} $(echo one two | { read -r x y; echo "$y $x"; })"
i=0; while [ $i -lt 500 ]; do i=$((i + 1)); case $((i % 3)) in 0) continue ;; esac; echo "$i"; done | result loop
for n in 3 5 7; do echo $((n ** n % 1000 << 3 ^ n)); done | result arithmetic
(set -- $(seq 30); while [ $# -gt 0 ]; do printf '%s:%05d:%x ' "$#" "$1" "$1"; shift; done) | result printf
(trap 'echo left' EXIT; exit 3); echo "status: $?"
cat <<END | result here
$a $((b + 40)) \$ $(echo nested "$(echo deep)")
END

# Text.
seq 1 20000 >numbers
awk 'BEGIN { x = 7; for (i = 0; i < 20000; i++) { x = (x * 1103515245 + 12345) % 2147483648; print x % 1000, i, substr("abcdefghijklmnop", x % 13 + 1, 3) } }' >table
result table <table
sort -k1,1n -k2,2nr table | result sort
sort -u -k3,3 table | result sort-u
cut -d' ' -f3 table | sort | uniq -c | sort -rn | result uniq
sed -n 's/^\([0-9]*\) \([0-9]*\) \(a.*\)$/\3-\1/p;300q' table | result sed
grep -cE '^[1-5]+ ' table | result grep
tr 'a-z' 'n-za-m' <table | result tr
awk '{ s[$3] += $1; n[$3]++ } END { for (k in s) printf "%s %.6f %d\n", k, s[k] / n[k], n[k] }' table | sort | result awk
head -c 5000 table | tail -c 777 | od -A d -t x1 | result od
fold -w 31 table | nl | expand | result fold
paste -d, numbers numbers | rev | result rev
wc numbers table | awk '{ print $1, $2, $3 }' | result wc
sed '5,9d;77s/$/x/' numbers | diff -u numbers - | sed 1,2d | result diff
base64 table | result base64
dc -e '99 2 30 ^ * p' | result dc
expr 12 '*' 12 : '\(.*\)' | result expr
factor 1234567890 97 65536 | result factor
xargs -n 7 echo <numbers | result xargs
find . -type f -name 'part.*' | sort | result find
dd if=table bs=100 skip=3 count=50 2>/dev/null | result dd

# Packers.
gzip -9 -c table | gzip -dc | result gzip
gzip -1 -c table >table.gz && gzip -t table.gz && zcat table.gz | cmp - table && echo "gzip: same"
bzip2 -c table | result bzip2
bzip2 -c table | bzip2 -dc | cmp - table && echo "bunzip2: same"
for program in md5sum sha1sum sha256sum sha512sum sha3sum; do $program <table | cut -d' ' -f1,2 | result $program; done

# A tree of 2,000 files.
mkdir tree
d=0
while [ $d -lt 40 ]; do
	mkdir tree/$d
	n=0
	while [ $n -lt 50 ]; do
		echo "$d $n $((d * n))" >tree/$d/$n
		n=$((n + 1))
	done
	d=$((d + 1))
done
ln -s ../0/1 tree/1/link
tar cf tree.tar tree
tar tf tree.tar | sort | result tar-list
mkdir out && tar xf tree.tar -C out
diff -r tree out/tree && echo "tar: same"
find out -type f | sort | xargs sha256sum | result tar
tar czf - tree | tar tzf - | wc -l | result tar-gz
rm -r out/tree/3* && find out | wc -l | result rm
readlink out/tree/1/link | result link
# An editor, whose keys come from a pipe here; and what the keys of a console made of a file, if there is one.
printf 'hello\nworld\n' >vi.txt
printf ':%%s/world/there/\nGoadded\033:wq\n' | vi vi.txt >/dev/null 2>&1
result vi <vi.txt
cat numbers
