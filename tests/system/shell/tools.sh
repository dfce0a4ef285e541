# Programs in pipelines, substitutions, subshells and the background, as scripts use them. Run in an empty directory.
echo start $((1 + 2))
echo c a b | tr ' ' '\n' | sort -r | head -n 2
x=$(echo sub; echo two | cat); echo "[$x]"
(cd /; pwd); [ "$(pwd)" = "$OLDPWD" ] || echo outside
seq 1 500 | wc -l
sleep 1 & sleep 2 & wait; echo waited
for i in 1 2 3; do (exit $i) & done; wait; echo all
(exit 5) & wait $!; echo "background $?"
cat <<EOF | sed 's/x/y/'
xx $x $(echo inner | tr a-z A-Z)
EOF
seq 1 10 | xargs -n 3 echo
seq 1 4 | xargs -I{} sh -c 'echo "$((2 * {}))"'
mkdir d; for i in 3 1 2; do echo "file $i" >d/$i; done
find d -type f -exec cat {} \; | sort
find d -type f | sort | xargs cat | wc -c
trap 'echo usr1' USR1; kill -USR1 $$; (kill -USR1 $$); echo done
trap 'echo bye; exit 3' TERM; (sleep 1; kill -TERM $$) & wait; echo not here
