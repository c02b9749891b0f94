// Waiting on words of shared memory, and waking who waits.
// Source: futex(2), FUTEX_WAIT and FUTEX_WAKE; without FUTEX_PRIVATE_FLAG, because the waiters are in other processes.
// Left out: every other futex operation, and waiting without an end.
// Warm code: plain Node-API.  A call costs 25 ns, finding the typed array's data 55 ns more, so a word that is used
// often is bound once to its address (bindWord).
#include "addon.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>

namespace splitvm {
namespace {

constexpr double kSecond = 1e9;
constexpr double kLongest = 9007199254740992.0;  // 2^53 ns, 104 days

napi_value Integer(napi_env env, int32_t value) {
  napi_value result = nullptr;
  napi_create_int32(env, value, &result);
  return result;
}

/** The word words[index]; null with an exception pending if the arguments do not name one. */
uint32_t* WordOf(napi_env env, napi_value words, napi_value index) {
  napi_typedarray_type type;
  size_t length;
  void* data;
  if (napi_get_typedarray_info(env, words, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_int32_array) {
    napi_throw_type_error(env, nullptr, "\"words\" must be an Int32Array");
    return nullptr;
  }
  double at;
  if (napi_get_value_double(env, index, &at) != napi_ok) {
    napi_throw_type_error(env, nullptr, "\"index\" must be a number");
    return nullptr;
  }
  if (!(at >= 0 && at < static_cast<double>(length) && std::trunc(at) == at)) {
    napi_throw_range_error(env, nullptr, "\"index\" is outside \"words\"");
    return nullptr;
  }
  return static_cast<uint32_t*>(data) + static_cast<size_t>(at);
}

/** 0, EAGAIN, ETIMEDOUT or EINTR as a number; anything else as an exception. */
napi_value Wait(napi_env env, uint32_t* word, napi_value expected, napi_value timeout) {
  int32_t value;
  double ns;
  if (napi_get_value_int32(env, expected, &value) != napi_ok || napi_get_value_double(env, timeout, &ns) != napi_ok) {
    napi_throw_type_error(env, nullptr, "\"expected\" and \"timeoutNs\" must be numbers");
    return nullptr;
  }
  if (!(ns >= 0 && ns <= kLongest)) {  // NaN too; every wait has an end
    napi_throw_range_error(env, nullptr, "\"timeoutNs\" must be a number from 0 to 2^53");
    return nullptr;
  }
  double seconds = std::floor(ns / kSecond);
  timespec limit = {static_cast<time_t>(seconds), static_cast<long>(ns - seconds * kSecond)};
  if (syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, nullptr, 0) == 0) return Integer(env, 0);
  if (errno != EAGAIN && errno != ETIMEDOUT && errno != EINTR) {
    SystemError(env, errno, "futex").ThrowAsJavaScriptException();
    return nullptr;
  }
  return Integer(env, errno);
}

napi_value Wake(napi_env env, uint32_t* word, napi_value count) {
  int32_t limit;
  if (napi_get_value_int32(env, count, &limit) != napi_ok) {
    napi_throw_type_error(env, nullptr, "\"count\" must be a number");
    return nullptr;
  }
  if (limit < 0) {
    napi_throw_range_error(env, nullptr, "\"count\" must not be negative");
    return nullptr;
  }
  if (limit == 0) return Integer(env, 0);  // the kernel wakes one for 0
  long woken = syscall(SYS_futex, word, FUTEX_WAKE, limit, nullptr, nullptr, 0);
  if (woken < 0) {
    SystemError(env, errno, "futex").ThrowAsJavaScriptException();
    return nullptr;
  }
  return Integer(env, static_cast<int32_t>(woken));
}

// Node-API fills arguments that were not given with undefined, which the checks above refuse.

napi_value FutexWait(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value argument[4];
  napi_get_cb_info(env, info, &count, argument, nullptr, nullptr);
  uint32_t* word = WordOf(env, argument[0], argument[1]);
  return word == nullptr ? nullptr : Wait(env, word, argument[2], argument[3]);
}

napi_value FutexWake(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value argument[3];
  napi_get_cb_info(env, info, &count, argument, nullptr, nullptr);
  uint32_t* word = WordOf(env, argument[0], argument[1]);
  return word == nullptr ? nullptr : Wake(env, word, argument[2]);
}

napi_value BoundWait(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value argument[2];
  void* word;
  napi_get_cb_info(env, info, &count, argument, nullptr, &word);
  return Wait(env, static_cast<uint32_t*>(word), argument[0], argument[1]);
}

napi_value BoundWake(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument[1];
  void* word;
  napi_get_cb_info(env, info, &count, argument, nullptr, &word);
  return Wake(env, static_cast<uint32_t*>(word), argument[0]);
}

/** A function over the word's address.  It owns `words` by a property, so the address outlives no memory. */
Napi::Value Bound(Napi::Env env, const char* name, napi_callback call, uint32_t* word, Napi::Value words) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, word, &function) != napi_ok) throw Napi::Error::New(env);
  Napi::Object object(env, function);
  object.DefineProperty(Napi::PropertyDescriptor::Value("words", words, napi_default));
  return object;
}

Napi::Value BindWord(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint32_t* word = WordOf(env, info[0], info[1]);
  if (word == nullptr) return Napi::Value();
  if (info[0].As<Napi::Object>().Get("buffer").IsArrayBuffer()) {  // which a transfer would detach, and free
    throw Napi::TypeError::New(env, "\"words\" must be a view of a SharedArrayBuffer");
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("wait", Bound(env, "wait", BoundWait, word, info[0]));
  result.Set("wake", Bound(env, "wake", BoundWake, word, info[0]));
  return result;
}

}  // namespace

void RegisterFutex(Napi::Object exports) {
  ExportWarm(exports, "futexWait", FutexWait);
  ExportWarm(exports, "futexWake", FutexWake);
  Export<BindWord>(exports, "bindWord");
}

}  // namespace splitvm
