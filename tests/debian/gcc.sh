# program: bash
# reference: expected
# timeout: 600
# gcc and g++ compile, assemble and link in the guest; what they made runs there.
export LC_ALL=C
cat >hello.c <<'C'
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { int key; struct node *left, *right; };
static struct node *insert(struct node *n, int key)
{
    if (!n) { n = calloc(1, sizeof *n); n->key = key; return n; }
    if (key < n->key) n->left = insert(n->left, key); else n->right = insert(n->right, key);
    return n;
}
static int depth(const struct node *n)
{
    if (!n) return 0;
    int l = depth(n->left), r = depth(n->right);
    return 1 + (l > r ? l : r);
}
static void *work(void *arg) { long s = 0; for (long i = 0; i < 100000; i++) s += i ^ (long)arg; return (void *)s; }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void)
{
    struct node *root = NULL;
    unsigned x = 1;
    int a[1000];
    for (int i = 0; i < 1000; i++) { x = x * 1103515245 + 12345; a[i] = (int)(x >> 16); root = insert(root, a[i]); }
    qsort(a, 1000, sizeof *a, compare);
    printf("tree %d sorted %d %d\n", depth(root), a[0], a[999]);
    pthread_t t[4]; long sum = 0; void *r;
    for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, work, (void *)i);
    for (int i = 0; i < 4; i++) { pthread_join(t[i], &r); sum += (long)r; }
    printf("threads %ld, %.12f\n", sum, pow(2, 0.5) + sin(1));
    return 42;
}
C
cat >hello.cc <<'C'
#include <algorithm>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
template <int n> struct factorial { static constexpr long value = n * factorial<n - 1>::value; };
template <> struct factorial<0> { static constexpr long value = 1; };
struct shape { virtual ~shape() = default; virtual double area() const = 0; };
struct square : shape { double s; explicit square(double x) : s(x) {} double area() const override { return s * s; } };
static void deep(int n) { std::string keep(100, 'x'); if (n == 0) throw std::runtime_error("thrown"); deep(n - 1); }
int main()
{
    std::vector<int> v(1000);
    std::iota(v.begin(), v.end(), 1);
    std::cout << std::accumulate(v.begin(), v.end(), 0L) << ' ' << factorial<15>::value << '\n';
    std::map<std::string, int> m{{"b", 2}, {"a", 1}};
    for (const auto &[k, n] : m) std::cout << k << n << ' ';
    std::vector<std::unique_ptr<shape>> shapes;
    shapes.push_back(std::make_unique<square>(1.5));
    std::cout << shapes[0]->area() << '\n';
    int caught = 0;
    for (int i = 0; i < 100; i++) try { deep(i % 20); } catch (const std::exception &e) { caught += e.what()[0] == 't'; }
    auto f = std::async(std::launch::async, [] { std::this_thread::yield(); return 7; });
    std::cout << "caught " << caught << " future " << f.get() << std::endl;
}
C
for flags in -O0 '-O2 -g' '-Os -static'; do
    gcc -Wall $flags hello.c -o hello -lm -pthread && ./hello; echo "status $?"
done
g++ -std=c++17 -O1 -pthread hello.cc -o hello++ && ./hello++
echo 'int add(int a, int b) { return a + b; }' >add.c
echo 'int add(int, int); int main(void) { return add(40, 2); }' >main.c
gcc -c add.c && ar rcs libadd.a add.o && gcc main.c -L. -ladd -o static-lib && ./static-lib; echo "archive $?"
gcc -shared -fPIC add.c -o libadd2.so && gcc main.c -L. -ladd2 -Wl,-rpath,. -o shared-lib && ./shared-lib; echo "shared $?"
gcc -S -O2 add.c -o - | grep -c 'addw'
echo 'int main(void) { return undeclared; }' >bad.c; gcc bad.c 2>&1 | grep -c 'undeclared'
echo 'void missing(void); int main(void) { missing(); }' | gcc -x c - 2>&1 | grep -c 'undefined reference'
objdump -d add.o | grep -c ret
nm add.o; strip hello; file=$(readelf -h hello | grep Machine); echo $file
gcc -O2 -flto main.c add.c -o lto && ./lto; echo "lto $?"
cat >makefile <<'M'
objects := main.o add.o
program: $(objects)
	@echo linking
	@gcc $^ -o $@
%.o: %.c
	@echo compiling $<
	@gcc -c $< -o $@
clean: ; @rm -f program $(objects)
M
make clean && make -j2 --output-sync | sort && ./program; echo "make $?"; make; touch add.c; make
