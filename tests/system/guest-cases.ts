/**
 * Command lines of unmodified Debian programs, run in /desk of the tree of guest-tree.ts. What they must say and leave
 * behind is golden/guests.json, made by guest-golden.ts under qemu. Options are chosen so that the output depends on
 * nothing but the tree: no inode numbers, no times of the run, no paths above /desk.
 */

export interface GuestCase {
  readonly name: string;
  readonly program: 'busybox' | 'bash';
  readonly args: readonly string[];
  readonly stdin?: string; // Latin-1
  /** Standard input is what the case of this name writes. */
  readonly stdinOf?: string;
  /** The order of the lines is that of a directory, which file systems choose as they like: sorted. */
  readonly unordered?: boolean;
  /** Needs the file of 10 MB. */
  readonly big?: boolean;
}

const busybox: GuestCase[] = [];

function applet(command: string, options: Partial<GuestCase> = {}): void {
  const args = words(command);
  busybox.push({ name: command, program: 'busybox', args, ...options });
}

/** Splits at spaces, except within single quotes. */
function words(command: string): string[] {
  return [...command.matchAll(/(?:[^\s']|'[^']*')+/g)].map(([word]) => word.replace(/'/g, ''));
}

function script(name: string, text: string, stdin?: string): void {
  busybox.push({
    name: `sh: ${name}`,
    program: 'busybox',
    args: ['sh', '-c', text, 'sh', 'first', 'second arg'],
    ...(stdin === undefined ? {} : { stdin }),
  });
}

// ---- the shell and its children: built-ins only, since an emulator of system calls finds no program to execute
// (fork.test.ts has scripts that do)

script(
  'subshells',
  'x=1; (x=2; echo $x; (x=3; echo $x); echo $x); echo $x; (exit 4); echo $?; (cd /; pwd); pwd; f() (x=5; echo f $x); f; echo $x',
);
script(
  'command substitution',
  'a=$(echo one; echo two); echo "$a" $a; echo $(echo $(echo $(echo deep))); b=$(exit 3); echo $? "[$b]"; echo "`echo old`$(printf "%s-" x y)"',
);
script(
  'pipelines',
  'r() { while read -r l; do echo "$1$l"; done; }; printf "a\\nb\\n" | r 1 | r 2 | r 3; false | true; echo $?; true | (exit 6); echo $?; echo x | { read y; echo "[$y]"; }; echo "[$y]"',
);
script(
  'background jobs',
  '(exit 3) & a=$!; (exit 5) & b=$!; wait $a; echo $?; wait $b; echo $?; wait; echo $?; for i in 1 2 3; do (exit $i) & done; wait; echo all; wait 99999; echo $?',
);
script(
  'traps of children',
  'trap "echo parent got USR1" USR1; trap "echo bye" EXIT; (kill -USR1 $$); echo after; (trap "echo child" EXIT; exit 3); echo $?; (exit 0) | (exit 7); echo $?',
);

script(
  'redirections',
  'echo one >f; echo two >>f; while read -r line; do echo "[$line]"; done <f; echo err >&2; echo both >g 2>&1; read x <g; echo "$x"',
);
script(
  'loops and functions',
  'f() { local n=$1; [ "$n" -le 1 ] && { r=1; return; }; f $((n-1)); r=$((r*n)); }; for i in 1 5 10 20; do f $i; echo "$i! = $r"; done; i=0; until [ $i -ge 3 ]; do i=$((i+1)); [ $i = 2 ] && continue; echo $i; done',
);
script(
  'here-document',
  'x=7; while read -r a b; do echo "$b/$a"; done <<E\n1 one\n2 two $x $((x*6))\nE\nread -r line <<\'Q\'\nraw $x\nQ\necho "$line"',
);
script(
  'traps',
  'trap "echo bye" EXIT; trap "echo got USR1" USR1; kill -USR1 $$; echo after; trap "" TERM; kill -TERM $$; echo alive; exit 7',
);
script(
  'arithmetic',
  'echo $((7*6)) $((-7/2)) $((-7%3)) $((1<<40)) $((0x7fffffffffffffff+1)) $((5>3 ? 10 : 20)) $((~0)) $((010)) $((2**10)); x=5; echo $((x+=3)) $x',
);
script(
  'expansions',
  'v=archive.tar.gz; echo ${v%.*} ${v%%.*} ${v#*.} ${v##*.} ${#v} ${u:-default} ${v:+set} ${v:2:4} ${v/a/A}; set -- a "b c" d; echo $# "$2"; shift; echo "$*"; IFS=:; set -- x y; echo "$*"',
);
script(
  'globs',
  'echo *; echo tree/*; echo tree/?ne.*; echo tree/a/[!l]*; echo nothing*; case abc.txt in *.c) echo c;; a*.txt) echo text;; esac',
);
script(
  'printf and test',
  'printf "%5d|%-5s|%05.1f|%x|%o|%c\\n" 42 ab 3.14159 255 8 xyz; [ -f words ] && [ -d tree ] && [ -L tree/dangling ] && [ ! -e tree/dangling ] && [ -s words ] && [ ! -s empty ] && echo ok; [ 10 -gt 9 ] && [ abc \\< abd ] && echo ordered; [ a = b ]; echo $?',
);
script(
  'arguments, getopts, eval',
  'echo "$0 $1 $2 $#"; set -- -a -b val rest; while getopts ab: o; do echo "$o ${OPTARG-none}"; done; shift $((OPTIND-1)); echo "$1"; eval "y=\\$1"; echo $y; unset y; echo ${y-unset}',
);
script('errors', 'nosuchcommand; echo $?; cd /nowhere; echo $?; echo x >nodir/file; echo $?; readonly r=1; r=2; echo not reached');
script('syntax error', 'if true; then echo; done');
script('killed by its own signal', 'echo before; kill -SEGV $$; echo after');
script(
  'descriptors',
  'exec 3>out 4<table; echo to three >&3; read a <&4; read b <&4; echo "$a $b"; exec 3>&- 4<&-; read c <out; echo "$c"; echo x >&3',
);
script(
  'read from standard input',
  'while IFS=: read -r name id rest; do echo "$id $name ($rest)"; done; read end || echo "end of file"',
  'ann:1:x:y\nben:2:z\n',
);
script(
  'umask, type, ulimit, set -e',
  'umask; umask 077; >private; umask; type echo cd nosuch; ulimit -n >/dev/null && echo limits; set -e; false; echo not reached',
);
script('wait and cd', 'cd tree/a; pwd; cd ..; pwd; cd - >/dev/null; pwd; cd ../../tree/b && echo *; wait; echo $?');

// ---- text

applet('sort words');
applet('sort -u -k1,1 -k3n words');
applet('sort -rn numbers');
applet('sort -t: -k2,2nr table');
applet('uniq -c words');
applet('wc words numbers noise empty');
applet('wc -l', { stdin: 'a\nb\nc' });
applet('head -n 3 words numbers');
applet('head -c 20 words');
applet('tail -n 4 words');
applet('tail -c +3 table');
applet('cut -d: -f1,3 table');
applet('cut -c2-5 words2');
applet('tr a-z A-Z', { stdin: 'Hello, wörld\n' });
applet("tr -cd '[:digit:]\\n'", { stdin: 'a1b22\nc3\n' });
applet('grep -n page words');
applet("grep -c -i '^FAULT' words");
applet("grep -E -o '[0-9]+\\.[0-9]{2}$' words");
applet('grep -rl three tree');
applet('grep nothing-like-it words');
applet('fgrep -v a table');
applet("sed -n '2,4p;$=' words");
applet("sed -e 's/\\([a-z]*\\) \\([a-z]*\\)/\\2-\\1/' -e '/grant/d' words2");
applet('sed -i s/one/eins/ tree/one.txt');
applet('awk \'{ n[$1]++; s += $4 } END { for (w in n) c++; printf "%d words, %.3f, %g\\n", c, s, s / NR }\' words');
applet("awk -F: '{ x = $3 * 1.5 + 0.1; print $1, x, int(x), x * x, x % 3 }' table");
applet(
  'awk \'BEGIN { x = 0.1; for (i = 0; i < 60; i++) x = 3.9 * x * (1 - x); printf "%.15f %e\\n", x, x * 1e300; print 1 / 3, 1 / 1024, -7 % 3, 1e6, 123456789012 }\'',
);
applet('awk \'{ gsub(/[aeiou]/, "<&>"); print toupper(substr($0, 1, 12)), length($0), index($0, "g") } NR == 5 { exit 3 }\' words');
applet('awk \'BEGIN { printf "%5.2f|%-8s|%+d|%x\\n", 2.345, "ab", 5, 255; print 1 / 0 }\'');
applet('diff words words2');
applet('diff -u tree/one.txt tree/a/three.txt');
applet('cmp noise words');
applet('fold -w 13 words2');
applet('fold -s -w 20 table');
applet('nl table');
applet('rev table');
applet('tac numbers');
applet('expand -t 4 tabs');
applet('unexpand -a tabs');
applet('paste -d, table numbers');
applet('tee copy1 copy2', { stdin: 'to three places\n' });
applet('cat -A tabs crlf');
applet('cat words nosuchfile');
applet('strings -n 6 noise');
applet('dos2unix crlf');
applet('ts', { stdin: '' });

// ---- bytes

applet('sha256sum big', { big: true });
applet('md5sum big', { big: true });
applet('sha1sum words noise');
applet('sha512sum noise');
applet('sha3sum noise');
applet('md5sum -c -', { stdin: 'd41d8cd98f00b204e9800998ecf8427e  empty\n00000000000000000000000000000000  words\n' });
applet('crc32 noise');
applet('base64 noise');
applet('base64 -d', { stdin: 'aGVsbG8gd29ybGQK' });
applet('od -A d -t x1 -N 64 noise');
applet('od -c -N 48 tabs');
applet('od -t dL -N 40 noise');
applet('hexdump -C -n 100 noise');
applet('xxd -l 50 noise');
applet('xxd -r -p', { stdin: '68656c6c6f0a' });
applet('uuencode noise name');
applet('dd if=noise of=piece bs=1000 skip=3 count=5 status=none');
applet('dd if=table bs=1 skip=6 count=9 conv=swab status=none');
applet('dd of=table seek=1 bs=4 conv=notrunc status=none', { stdin: 'XXXXYYYY' });
applet('gzip -c words');
applet('gzip noise');
applet('gunzip', { stdinOf: 'gzip -c words' });
applet('bzip2 -c words');
applet('bzip2 -9 words noise');
applet('bunzip2', { stdinOf: 'bzip2 -c words' });
applet('xz -d', {
  stdin: atob(
    '/Td6WFoAAAFpIt42AgAhARYAAAB0L+Wj4AiXAB5dADgYSSrCvbgIMHtvQLiS4CJVwUhNMfAhEbm+ZAX0AAAAAKBsKg0AATaYEQAAAEZspRg+MA2LAgAAAAABWVo=',
  ),
});
applet('lzcat', { stdin: atob('XQAAgAD//////////wA4GEkqwr24CDB7b0C4kuAiVcFITTHwIRG5vm7mQh//+54AAA==') });
applet('gunzip -c', { stdin: 'not gzip at all' });

// ---- files

applet('find tree', { unordered: true });
applet('find tree -type f -size +0 -name *.txt', { unordered: true });
applet('find tree -perm 600 -o -type l', { unordered: true });
applet('find tree -newer empty');
applet('find words tree/a -maxdepth 1 -type d -print0');
applet('find tree -name *.c -o -name four', { unordered: true });
applet('ls -1F tree');
applet('ls -R tree');
applet('ls -l words tree/one.txt tree/two.c tree/dangling');
applet('ls nosuchfile words');
applet('cp -r tree copy');
applet('cp -a tree copy');
applet('cp words numbers nosuchdir');
applet('mv tree/one.txt tree/b/moved');
applet('mv tree renamed');
applet('rm -r tree');
applet('rm words nosuchfile');
applet('rmdir tree/empty tree/a');
applet('mkdir -p new/x/y/z tree/a/more');
applet('mkdir -m 700 secret words');
applet('ln words hard');
applet('ln -s ../words tree/soft');
applet('ln -sf nowhere2 tree/dangling');
applet('readlink tree/dangling');
applet('readlink -f tree/a/link');
applet('realpath tree/a/../b/./.hidden');
applet('touch -d @1000000000 words fresh');
applet('chmod -R g+w,o-r tree');
applet('chmod u=rx,+x words');
applet("stat -c '%n %s %a %F %h %Y' words tree/dangling");
applet('truncate -s 12345 words');
applet('install -m 640 words installed');
applet('mkfifo pipe');
applet('unlink words');
applet('tar cf - words noise tree/b tree/a/link tree/two.c');
applet('tar tvf -', { stdinOf: 'tar cf - words noise tree/b tree/a/link tree/two.c' });
applet('tar xvf - -C tree/empty', { stdinOf: 'tar cf - words noise tree/b tree/a/link tree/two.c' });
applet('tar xOf - tree/two.c', { stdinOf: 'tar cf - words noise tree/b tree/a/link tree/two.c' });
applet('tar tf words');
applet('patch -p0 -i patch.diff');
applet('ar t words');

// ---- the rest

applet('date -u -d @0');
applet("date -u -d '2024-02-29 12:00' +%Y-%j-%a-%s");
applet('cal 2 2024');
applet('expr 6 * 7 + ( 3 - 10 )');
applet("expr match hello 'h\\(.*\\)o'");
applet('seq 1 0.5 4');
applet('seq -w 8 11');
applet("printf '%s-%d-%.3e\\n' a 1 2.5 b 2 -0.125");
applet('factor 97 360 1000003 4294967296 18446744073709551360');
applet("env -i A=1 B='two words'");
applet('basename /usr/lib/libc.so .so');
applet('dirname /usr/lib/libc.so');
applet('test words -nt nosuchfile');
applet('false');
applet('echo -e a\\tb\\x41\\c');
applet('bc', { stdin: 'scale=20; 1/7; 2^100; sqrt(2); define f(n) { if (n < 2) return n; return f(n-1) + f(n-2); }; f(15)\n' });
applet('dc', { stdin: '10k 1 3 / p 2 64 ^ p 16o 255 p\n' });
applet('ed words', { stdin: '1,3p\n/grant/s//GRANT/p\n$=\nq\nq\n' });
applet('ipcalc -n -b 192.168.3.77/20');
applet('uname -m');
applet('sleep 0.2');
applet('whoami');
applet('nosuchapplet');
applet('getopt -o ab: -- -a -b x y');

// ---- bash

const bash: GuestCase[] = [];

function bashScript(name: string, text: string, stdin?: string): void {
  bash.push({
    name: `bash: ${name}`,
    program: 'bash',
    args: ['-c', text, 'bash', 'first', 'second arg'],
    ...(stdin === undefined ? {} : { stdin }),
  });
}

bashScript(
  'arrays',
  'a=(one "two three" four); a+=(five); unset "a[2]"; echo "${#a[@]} ${!a[@]}"; for x in "${a[@]}"; do echo "<$x>"; done; echo "${a[@]:1:2}" "${a[-1]}"; declare -A m=([k]=v [x]=y); m[z]=w; for k in k x z; do echo "$k=${m[$k]}"; done; echo ${#m[@]}',
);
bashScript(
  'printf -v and formats',
  'printf -v s "%08.3f|%-6s|%+d|%q" 3.14159 ab 7 "a b"; echo "$s"; printf "%(%Y-%m-%d)T\\n" 0; printf "%s\\n" {a..c}{1..2}; printf "%d %x %o\\n" 0x1f 31 8',
);
bashScript(
  'regular expressions',
  '[[ "fault at 0x1f4, pc 0x80" =~ at\\ (0x[0-9a-f]+),\\ pc\\ (0x[0-9a-f]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]} ${#BASH_REMATCH[@]}"; [[ abc == a?c && abc != *d ]] && echo glob; [[ 10 -gt 9 && a < b ]] && echo cmp',
);
bashScript(
  'read loops over files',
  'n=0; while IFS=: read -r name id value; do ((n += id)); echo "$name=$value"; done <table; echo $n; mapfile -t lines <numbers; echo "${#lines[@]} ${lines[3]} ${lines[199]}"; read -r -N 5 five <words; echo "[$five]"',
);
bashScript(
  'here-strings and here-documents',
  'read -r a b <<<"left right side"; echo "$b/$a"; x=5; while read -r l; do echo "> $l"; done <<E\nvalue $x\n$((x * 3))\nE\nread -r first <words; echo "$first"',
);
bashScript(
  'parameter expansion',
  'v="Hello World"; echo "${v^^} ${v,,} ${v//o/0} ${v:(-5):3} ${v/#He/J} ${v@Q} ${#v}"; p=/a/b/c.tar.gz; echo "${p##*/} ${p%/*} ${p%%.*}"; unset u; echo "${u:=new} $u ${!p*}"; : "${nothing:?must be set}"',
);
bashScript(
  'arithmetic',
  'echo $((2**62)) $((1 << 63)) $((-17 / 5)) $((-17 % 5)) $((16#ff + 2#101 + 36#z)); ((i = 5, i *= i)); echo $i; for ((i = 0; i < 5; i++)); do ((i == 3)) && break; echo -n "$i "; done; echo; let "y = i > 2 ? 100 : 200"; echo $y; echo $((1 / 0)); echo after',
);
bashScript(
  'functions, recursion, local',
  'fib() { local n=$1; if ((n < 2)); then R=$n; return; fi; fib $((n - 1)); local a=$R; fib $((n - 2)); R=$((R + a)); }; fib 15; echo $R; f() { local -n ref=$1; ref=changed; }; v=old; f v; echo $v; declare -f f',
);
bashScript(
  'traps and signals',
  'trap \'echo "exit $?"\' EXIT; trap "echo usr1" USR1; kill -USR1 $$; trap "echo err at \\$LINENO" ERR; false; trap "echo debug" DEBUG; :; trap - DEBUG; exit 9',
);
bashScript(
  'errors and exit status',
  'cd /nowhere; echo $?; ((3 < 2)); echo $?; [[ -f words ]] || echo missing; set -u; echo "$undefined_variable"; echo not reached',
);
bashScript(
  'redirections',
  'exec 5>out; echo five >&5; exec 5>&-; { echo a; echo b >&2; } >f 2>&1; while read -r l; do echo "f: $l"; done <f; echo more >>f; mapfile -t m <f; echo "${m[*]}"; echo x >nodir/y; echo $?; set -C; echo again >f; echo $?',
);
bashScript(
  'case, select of words, brace expansion',
  'shopt -s extglob nullglob\nfor w in apple Banana 42 ""; do case $w in [a-z]*) echo lower;; [A-Z]*) echo upper;; +([0-9])) echo digits;; *) echo other;; esac; done; echo tree/*.+(txt|c) none*; echo {01..05} {z..w} x{,1,2}',
);
bashScript(
  'sorting an array by hand',
  'a=(5 3 9 1 7 2 8); n=${#a[@]}; for ((i = 0; i < n; i++)); do for ((j = 0; j < n - i - 1; j++)); do if ((a[j] > a[j + 1])); then t=${a[j]}; a[j]=${a[j + 1]}; a[j + 1]=$t; fi; done; done; echo "${a[*]}"',
);
bashScript(
  'standard input',
  'i=0; while read -r l; do echo "$((++i)): ${l^}"; done; echo "total $i"; read -r x; echo $?',
  'alpha\nbeta gamma\nlast without newline',
);
bashScript('killed by its own signal', 'echo before; kill -ABRT $$; echo after');
bashScript('syntax error', 'for x in 1 2; do echo $x');

export const GUEST_CASES: readonly GuestCase[] = [...busybox, ...bash];
