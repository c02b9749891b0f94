// Deadlines: at a time that was set, bits are set in a word of shared memory and whoever sleeps on it is woken.
// Source: futex(2); pthread_cond_clockwait(3) on CLOCK_MONOTONIC; PR_SET_TIMERSLACK of prctl(2).
// Left out: intervals. Who wants another tick sets another deadline, so that nobody is ahead of what was served.
//
// One thread serves a process, made with the first deadline. It is the one thing here that instances of the addon share:
// a vCPU sets its deadline in its own thread, and an expiry must not wait for anybody's event loop.
#include "addon.h"

#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

namespace splitvm {
namespace {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC
constexpr int64_t kNever = INT64_MAX;

struct Deadline {
  uint32_t* word;
  uint32_t bits;
  int64_t at = kNever;
};

bool Earlier(const Deadline* a, const Deadline* b) { return a->at != b->at ? a->at < b->at : a < b; }

/** The process's deadlines, by time. It is never destroyed: its thread runs until the process ends. */
class Timers {
 public:
  static Timers& Get() {
    static Timers* timers = new Timers;
    return *timers;
  }

  void Set(Deadline* deadline, int64_t at) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (deadline->at == at) return;
    bool was_first = !waiting_.empty() && *waiting_.begin() == deadline;
    waiting_.erase(deadline);
    deadline->at = at;
    if (at != kNever) waiting_.insert(deadline);
    // A first one that moved back needs no wake-up: the thread wakes too early and looks again.
    if (!was_first && at != kNever && *waiting_.begin() == deadline) changed_.notify_one();
    else if (was_first && at < slept_until_) changed_.notify_one();
  }

 private:
  Timers() { std::thread([this] { Run(); }).detach(); }

  void Run() {
    prctl(PR_SET_NAME, "timers");
    prctl(PR_SET_TIMERSLACK, 1UL);
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      if (waiting_.empty()) {
        slept_until_ = kNever;
        changed_.wait(lock);
        continue;
      }
      Deadline* first = *waiting_.begin();
      auto now = Clock::now().time_since_epoch().count();
      if (first->at > now) {
        slept_until_ = first->at;
        changed_.wait_until(lock, Clock::time_point(Clock::duration(first->at)));
        continue;
      }
      waiting_.erase(waiting_.begin());
      first->at = kNever;
      // With the lock held: after Set(kNever) by the owner nobody touches the word any more.
      __atomic_fetch_or(first->word, first->bits, __ATOMIC_SEQ_CST);
      syscall(SYS_futex, first->word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<Deadline*, bool (*)(const Deadline*, const Deadline*)> waiting_{Earlier};
  int64_t slept_until_ = kNever;
};

void Forget(void* data) {
  auto* deadline = static_cast<Deadline*>(data);
  Timers::Get().Set(deadline, kNever);
  delete deadline;
}

/** set(ns): plain Node-API, since a guest sets its timer at every tick. */
napi_value SetDeadline(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  void* deadline;
  napi_get_cb_info(env, info, &count, &argument, nullptr, &deadline);
  double at;
  if (napi_get_value_double(env, argument, &at) != napi_ok || !(at >= 0)) {
    napi_throw_type_error(env, nullptr, "\"ns\" must be a number of nanoseconds, or Infinity");
    return nullptr;
  }
  Timers::Get().Set(static_cast<Deadline*>(deadline), at < 9007199254740992.0 ? static_cast<int64_t>(at) : kNever);
  return nullptr;
}

/** bindDeadline(words, index, bits): the function that sets it. It lives as long as the environment that made it. */
Napi::Value BindDeadline(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    throw Napi::TypeError::New(env, "\"words\" must be an Int32Array");
  if (info[0].As<Napi::Object>().Get("buffer").IsArrayBuffer())  // which a transfer would detach, and free
    throw Napi::TypeError::New(env, "\"words\" must be a view of a SharedArrayBuffer");
  auto words = info[0].As<Napi::TypedArray>();
  Args args(info);
  int64_t index = args.Integer(1, "index", 0, static_cast<int64_t>(words.ElementLength()) - 1);
  auto bits = static_cast<uint32_t>(args.Integer(2, "bits", 1, UINT32_MAX));
  void* data = nullptr;
  napi_get_typedarray_info(env, words, nullptr, nullptr, &data, nullptr, nullptr);
  auto* deadline = new Deadline{static_cast<uint32_t*>(data) + index, bits};
  napi_value function;
  if (napi_create_function(env, "set", NAPI_AUTO_LENGTH, SetDeadline, deadline, &function) != napi_ok ||
      napi_add_env_cleanup_hook(env, Forget, deadline) != napi_ok) {
    delete deadline;
    throw Napi::Error::New(env);
  }
  Napi::Object object(env, function);
  object.DefineProperty(Napi::PropertyDescriptor::Value("words", info[0], napi_default));
  return object;
}

}  // namespace

void RegisterTimer(Napi::Object exports) { Export<BindDeadline>(exports, "bindDeadline"); }

}  // namespace splitvm
