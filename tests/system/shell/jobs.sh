# Jobs, signals and ends of pipelines. Run in an empty directory.
yes | head -n 3
yes | head -n 1000 | tail -n 1
sh -c 'kill -KILL $$'; echo "killed $?"
sh -c 'exit 7'; echo "exit $?"
false | true; echo "pipeline $?"
true | false; echo "pipeline $?"
! true | false; echo "not $?"
sleep 100 & kill $!; wait $!; echo "job $?"
sleep 100 & kill -STOP $!; kill -CONT $!; kill -KILL $!; wait $!; echo "job $?"
{ echo one; echo two >&2; } 2>&1 | sort
echo $(seq 1 3 | while read -r a; do printf '<%s>' "$a"; done)
mkfifo f; cat f & echo through a fifo >f; wait
mkfifo g; (read -r a <g; echo "read $a") & echo other >g; wait
exec 3>out; (echo first >&3; echo second >&3) ; echo third >&3; exec 3>&-; cat out
(trap '' PIPE; sleep 1; echo late 2>/dev/null; echo "status $?" >&2) 2>&1 >&3 3>&- | true
seq 1 300 | while read -r a; do [ "$a" = 300 ] && echo "last $a"; done
f() { if [ "$1" -gt 0 ]; then echo $(($(f $(($1 - 1))) + $1)); else echo 0; fi; }; f 6
env -i PATH="$PATH" A=b sh -c 'echo $A $HOME.' && timeout 1 sleep 10; echo "timeout $?"
cat /proc/self/comm; grep -c . /proc/$$/stat; ls -d /proc/$$ | wc -l
sh -c 'sh -c "sleep 1; echo orphan" & exit'; wait; sleep 2; echo end
