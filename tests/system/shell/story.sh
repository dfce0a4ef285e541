# 1,000 forks: chains, trees, pipelines, substitutions, background jobs. Every line is the same on every system.
chain() { # a chain of $1 processes, each the child of the one before
  if [ "$1" -gt 0 ]; then ( chain $(($1 - 1)); r=$?; exit $((r + 1)) ); else return 0; fi
}
tree() { # a binary tree of depth $1: every node waits for both children and adds up what they say
  if [ "$1" -eq 0 ]; then return 1; fi
  ( tree $(($1 - 1)) ) & a=$!
  ( tree $(($1 - 1)) ) & b=$!
  wait $a; ra=$?; wait $b; rb=$?
  return $((ra + rb))
}
i=0
while [ $i -lt 8 ]; do chain 25; echo "chain $i: $?"; i=$((i + 1)); done
i=0
while [ $i -lt 4 ]; do tree 5; echo "tree $i: $?"; i=$((i + 1)); done
pass() { while read -r line; do echo "$line+"; done; }
i=0
while [ $i -lt 60 ]; do echo "line $i" | pass | pass | pass; i=$((i + 1)); done
i=0; sum=0
while [ $i -lt 150 ]; do x=$(echo $((i * i))); sum=$((sum + x)); i=$((i + 1)); done
echo "substitutions: $sum"
i=0; all=
while [ $i -lt 140 ]; do ( exit $((i % 7)) ) & all="$all $!"; i=$((i + 1)); done
n=0; sum=0
for p in $all; do wait $p; sum=$((sum + $?)); n=$((n + 1)); done
echo "jobs: $n, $sum"
v=kept; ( v=lost; : ); echo "variable: $v"
