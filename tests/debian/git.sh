# program: bash
# reference: expected
# git with fixed names and times: even the object names are known.
export LC_ALL=C HOME=$PWD GIT_CONFIG_NOSYSTEM=1 TZ=UTC
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='1700000000 +0000'
export GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org GIT_COMMITTER_DATE='1700000000 +0000'
git init -q -b main repo && cd repo || exit
for i in $(seq 20); do echo "line $i" >>file; git add file; git commit -q -m "commit $i"; done
git log --oneline | head -n 3
git rev-list --count HEAD
git checkout -q -b topic HEAD~5; echo topic >other; git add other; git commit -q -m topic
git checkout -q main; git merge -q --no-edit topic; git log --oneline -n 1
git diff HEAD~1 --stat | cat
git tag v1; git describe --tags
echo change >>file; git status --short; git diff | tail -n 3; git stash -q; git status --short; git stash pop -q; git checkout -q file
git clone -q . ../clone && git -C ../clone rev-parse HEAD
git gc -q; git fsck --strict 2>/dev/null | grep -v dangling
git archive --format=tar HEAD | tar -tf -
git blame -L 3,3 file
git grep -n 'line 1$'
git show --stat --format=%s | head -n 3
git ls-tree HEAD; git hash-object file; printf 'blob' | git hash-object --stdin
git branch -a
git cherry-pick --no-commit topic~1 2>/dev/null; git status --short | cat; git reset -q --hard
