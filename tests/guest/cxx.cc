// C++: exceptions through frames, threads and signal handlers, thread-local objects, RTTI, iostreams, containers.
// flags: -fnon-call-exceptions
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <typeinfo>
#include <vector>

static int facts, bad;

static void ok(const char *what, bool holds)
{
    facts++;
    bad += !holds;
    std::cout << (holds ? "ok " : "BAD ") << what << std::endl;
}

static int destroyed;

struct guard {
    ~guard()
    {
        destroyed++;
    }
};

struct base {
    virtual ~base() = default;
    virtual int who() const
    {
        return 1;
    }
};
struct derived : base {
    int who() const override
    {
        return 2;
    }
};

static void throw_deep(int depth)
{
    guard g;
    if (depth == 0)
        throw std::runtime_error("deep");
    throw_deep(depth - 1);
}

static void on_fault(int number)
{
    throw number;
}

static void unblock(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

static thread_local std::string local = "fresh";

static void test_exceptions()
{
    int caught = 0;
    for (int i = 0; i < 500; i++)
        try {
            throw_deep(i % 40);
        } catch (const std::exception &e) {
            caught += std::string(e.what()) == "deep";
        }
    ok("500 exceptions", caught == 500);
    ok("destructors of all frames", destroyed == 500 / 40 * (40 * 41 / 2) + 20 * 21 / 2);
    try {
        try {
            throw 1;
        } catch (int) {
            throw;
        }
    } catch (int i) {
        ok("rethrown", i == 1);
    }
    auto p = std::async(std::launch::async, [] {
        throw std::out_of_range("thread");
        return 0;
    });
    try {
        p.get();
    } catch (const std::out_of_range &e) {
        ok("carried over from a thread", std::string(e.what()) == "thread");
    }
    std::unique_ptr<base> b = std::make_unique<derived>();
    ok("virtual call and dynamic_cast", b->who() == 2 && dynamic_cast<derived *>(b.get()));
    try {
        base plain;
        (void)dynamic_cast<derived &>(plain);
    } catch (const std::bad_cast &) {
        ok("bad_cast", true);
    }
    try {
        std::vector<int> v;
        (void)v.at(3);
    } catch (const std::out_of_range &) {
        ok("vector::at", true);
    }
    try {
        (void)new char[static_cast<size_t>(1) << 60];
    } catch (const std::bad_alloc &) {
        ok("bad_alloc", true);
    }
}

// Needs -fnon-call-exceptions: the unwinder steps through the signal frame and the trampoline.
static void test_signals()
{
    int caught = 0;
    std::signal(SIGSEGV, on_fault);
    for (int i = 0; i < 50; i++) {
        guard g;
        try {
            *reinterpret_cast<volatile int *>(16) = 1;
        } catch (int number) {
            caught += number == SIGSEGV;
            unblock(SIGSEGV);
            std::signal(SIGSEGV, on_fault);
        }
    }
    ok("exceptions thrown out of signal handlers", caught == 50);
}

static void test_threads()
{
    std::atomic<int> fresh{0};
    std::mutex mutex;
    std::condition_variable condition;
    int turn = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++)
        threads.emplace_back([&, i] {
            fresh += local == "fresh";
            local = "used";
            std::unique_lock<std::mutex> lock(mutex);
            condition.wait(lock, [&] { return turn == i; });
            turn++;
            condition.notify_all();
            try {
                throw i;
            } catch (int n) {
                fresh += n == i;
            }
        });
    for (auto &t : threads)
        t.join();
    ok("threads, thread-local objects and exceptions in them", fresh == 16 && turn == 8);
    std::vector<std::future<long>> sums;
    for (long i = 0; i < 4; i++)
        sums.push_back(std::async(std::launch::async, [i] {
            long s = 0;
            for (long k = i; k < 100000; k += 4)
                s += k;
            return s;
        }));
    long sum = 0;
    for (auto &s : sums)
        sum += s.get();
    ok("futures", sum == 4999950000);
}

static void test_library()
{
    std::map<std::string, int> words;
    std::istringstream in("the quick brown fox jumps over the lazy dog the end");
    for (std::string w; in >> w;)
        words[w]++;
    for (const auto &[word, count] : words)
        std::cout << word << '=' << count << ' ';
    std::cout << std::endl;
    ok("regex", std::regex_replace("a1b22c333", std::regex("[0-9]+"), "#") == "a#b#c#");
    std::ostringstream out;
    out.precision(17);
    out << 0.1 << ' ' << 1e100 << ' ' << std::hex << 255;
    ok("streams", out.str() == "0.10000000000000001 1e+100 ff");
    ok("type names", std::string(typeid(std::vector<int>).name()) == "St6vectorIiSaIiEE");
}

int main()
{
    test_exceptions();
    test_signals();
    test_threads();
    test_library();
    std::cout << facts << " facts, " << bad << " bad" << std::endl;
    return bad != 0;
}
