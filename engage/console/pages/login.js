// Old office browsers run this: no modules, no fetch, no promises. Tokens live in variables of this page and nowhere else.
(function () {
  "use strict";

  var ASK_EVERY = 2000;
  var ASK_AT_LATEST = 10000;
  var PERMISSIONS = {
    manage_org: ["管理组织、站点和项目", "Manage organisations, hubs and projects"],
    manage_hub: ["管理站点", "Manage hubs"],
    manage_activity: ["发布和管理活动", "Post and manage activities"],
    read_people: ["查看和办理报名人员", "See who signed up, and act for them"],
    review_activity: ["审核活动", "Review activities"],
    decide_appeal: ["处理信用申诉", "Decide on credit appeals"],
    decide_enclave: ["审批驻外团组织申请", "Decide on applications to enclave branches"],
    manage_enclave: ["管理驻外团组织", "Manage enclave branches"],
    read_figures: ["查看和导出统计", "Read and export figures"],
    read_county_totals: ["查看各县汇总", "Read the totals of every county"],
    read_integrity: ["查看数据一致性", "Read the integrity of the data"],
    read_audit: ["查看审计日志", "Read the audit log"],
    read_evidence: ["查看活动的督查依据", "Read the evidence about activities"],
    write_finding: ["写督查意见", "Write findings"],
    settle_finding: ["办结督查意见", "Settle findings"],
    answer_finding: ["答复督查意见", "Answer findings"],
    grant_roles: ["授予和结束角色", "Give and end roles"]
  };

  var ticket = null;
  var tokens = null;
  var timer = null;
  var ending = null;
  var refreshing = false;

  function find(id) { return document.getElementById(id); }
  function show(id, visible) { find(id).hidden = !visible; }

  function write(element, chinese, english) {
    element.textContent = chinese + " ";
    if (english) {
      var span = document.createElement("span");
      span.lang = "en";
      span.textContent = english;
      element.appendChild(span);
    }
  }

  function say(chinese, english) { write(find("status"), chinese, english); }

  function send(method, address, body, token, done) {
    var request = new XMLHttpRequest();
    request.open(method, "/v1" + address, true);
    request.timeout = 15000;
    request.setRequestHeader("Accept-Language", "zh");
    if (body) { request.setRequestHeader("Content-Type", "application/json"); }
    if (token) { request.setRequestHeader("Authorization", "Bearer " + token); }
    request.onload = function () {
      var answer = null;
      try { answer = JSON.parse(request.responseText); } catch (error) { answer = null; }
      done(request.status, answer, Number(request.getResponseHeader("Retry-After")) || 0);
    };
    request.onerror = request.ontimeout = function () { done(0, null, 0); };
    request.send(body ? JSON.stringify(body) : null);
  }

  function begin() {
    forget();
    show("again", false);
    say("正在生成二维码……", "Making a code…");
    send("POST", "/login-tickets", null, null, function (status, answer) {
      if (status !== 201) {
        return stop(answer ? answer.detail : "暂时无法连接，请稍后刷新。", answer ? "" : "No connection; try again later.");
      }
      ticket = { id: answer.id, secret: answer.secret, endsAt: Date.now() + answer.expires_in * 1000 };
      find("code").src = answer.image;
      find("number").textContent = answer.number;
      show("waiting", true);
      say("等待扫码，两分钟内有效。", "Waiting for your phone; good for two minutes.");
      wait(ASK_EVERY);
    });
  }

  function wait(pause) { timer = window.setTimeout(function () { ask(pause); }, pause); }

  function ask(pause) {
    var asked = ticket;
    send("POST", "/login-tickets/" + asked.id + "/tokens", { secret: asked.secret }, null, function (status, answer, later) {
      if (ticket !== asked) { return; }
      if (status === 0 || status === 429 || status >= 500) {
        // Half a minute longer than the code is good: the yes may have come when the network was away.
        if (Date.now() > asked.endsAt + 30000) { return stop("二维码已过期。", "This code has expired."); }
        return wait(Math.max(later * 1000, Math.min(pause * 2, ASK_AT_LATEST)));
      }
      if (status !== 200) { return stop(answer ? answer.detail : "登录失败。", answer ? "" : "Log-in failed."); }
      if (answer.tokens) { return enter(answer.tokens); }
      if (answer.status === "pending" || answer.status === "confirmed") { return wait(ASK_EVERY); }
      if (answer.status === "rejected") { return stop("手机上已拒绝，或数字不符。", "Rejected on the phone, or the number was wrong."); }
      stop("二维码已过期。", "This code has expired.");
    });
  }

  function forget() {
    window.clearTimeout(timer);
    window.clearTimeout(ending);
    ticket = tokens = null;
    find("code").removeAttribute("src");
    find("number").textContent = "";
    find("who").textContent = find("until").textContent = find("permissions").textContent = "";
    show("waiting", false);
    show("inside", false);
  }

  function stop(chinese, english) {
    forget();
    say(chinese, english);
    show("again", true);
    find("renew").focus();
  }

  function enter(given) {
    forget();
    keep(given);
    say("已登录。", "You are logged in.");
    read("/me", function (me) {
      write(find("who"), me.name || "工作人员", "");
      show("inside", true);
      find("who").focus();
    });
    read("/me/permissions", function (answer) { list(answer.items); });
    readEnd();
  }

  function keep(given) {
    tokens = given;
    tokens.staleAt = Date.now() + (given.expires_in - 60) * 1000;
  }

  function readEnd() {
    read("/me/sessions?limit=100", function (answer) {
      answer.items.forEach(function (session) {
        if (session.is_current) { tellEnd(session); }
      });
    });
  }

  // While somebody works here the session goes on; once nobody does, it ends by itself.
  function renew() {
    var held = tokens;
    if (!held || refreshing || Date.now() < held.staleAt) { return; }
    refreshing = true;
    send("POST", "/auth/refresh", { refresh_token: held.refresh_token }, null, function (status, answer) {
      refreshing = false;
      if (tokens !== held) { return; }
      if (status === 200) {
        keep(answer);
        readEnd();
      } else if (status === 401 || status === 403) {
        stop(answer ? answer.detail : "登录已结束。", answer ? "" : "Your session has ended.");
      } else {
        held.staleAt = Date.now() + ASK_AT_LATEST;
      }
    });
  }

  function read(address, done) {
    var held = tokens;
    send("GET", address, null, held.access_token, function (status, answer) {
      if (tokens !== held) { return; }
      if (status === 200) { return done(answer); }
      if (status === 401 || status === 403) { return stop(answer ? answer.detail : "登录已结束。", answer ? "" : "Your session has ended."); }
      say("暂时无法读取，请稍后再试。", "Cannot read this now; try again later.");
    });
  }

  function list(items) {
    items.forEach(function (item) {
      var words = PERMISSIONS[item.permission] || [item.permission, ""];
      var line = document.createElement("li");
      write(line, words[0], words[1]);
      find("permissions").appendChild(line);
    });
    if (!items.length) {
      var none = document.createElement("li");
      write(none, "目前没有可用的权限。", "Nothing at present.");
      find("permissions").appendChild(none);
    }
  }

  function tellEnd(session) {
    var clock = session.expires_at.slice(0, 10) + " " + session.expires_at.slice(11, 16);
    write(find("until"), "不使用时，登录到 " + clock + "（北京时间）结束。", "Unless used, this session ends then, in Beijing time.");
    window.clearTimeout(ending);
    // By the service's clock on both sides: that of this machine may be wrong.
    ending = window.setTimeout(function () {
      stop("登录已到期。", "This session is over.");
    }, Date.parse(session.expires_at) - Date.parse(session.last_used_at));
  }

  function leave() {
    if (!tokens) { return begin(); }
    logOut(tokens.access_token, function (status, answer) {
      if (answer && answer.code === "token_expired") {
        return send("POST", "/auth/refresh", { refresh_token: tokens.refresh_token }, null, function (refreshed, fresh) {
          if (refreshed !== 200) { return left(refreshed); }
          logOut(fresh.access_token, left);
        });
      }
      left(status);
    });
  }

  function logOut(token, done) { send("POST", "/auth/logout", null, token, done); }

  function left(status) {
    if (status === 204 || status === 401 || status === 403) { return stop("已退出登录。", "You are logged out."); }
    say("网络不通，尚未退出，请重试，或在手机的“登录设备”中退出。", "Still logged in: try again, or end this session on the phone.");
  }

  // Whoever closes the page is gone; browsers too old for this leave the session to its idle time.
  window.addEventListener("pagehide", function () {
    if (tokens && window.fetch) {
      window.fetch("/v1/auth/logout", {
        method: "POST", keepalive: true, headers: { Authorization: "Bearer " + tokens.access_token }
      })["catch"](function () {});
    }
    forget();
  });
  window.addEventListener("pageshow", function (event) { if (event.persisted) { begin(); } });
  ["click", "keydown", "mousemove", "touchstart"].forEach(function (kind) { document.addEventListener(kind, renew); });
  find("renew").addEventListener("click", begin);
  find("leave").addEventListener("click", leave);
  begin();
}());
