"""Refusals about projects, activities, sign-ups, check-in and feedback."""

from __future__ import annotations

from engage.core.errors import Conflict, DomainError, Forbidden, NotFound


class NoSuchProject(NotFound):
    code = "no_such_project"
    zh, en = "没有这个项目。", "There is no such project."


class ProjectNameTaken(Conflict):
    code = "project_name_taken"
    zh, en = "已有同名项目。", "A project of this name exists."


class NoSuchActivity(NotFound):
    code = "no_such_activity"
    zh, en = "没有这个活动，或尚未发布。", "There is no such activity, or it is not published."


class ActivityNotEditable(Conflict):
    code = "activity_not_editable"
    zh, en = (
        "活动已结束、取消或总结，不能再修改。",
        "The activity is over, cancelled or summarised and cannot be changed.",
    )


class ActivityTimesHeld(Forbidden):
    code = "activity_times_held"
    zh, en = (
        "已有人报名：站点管理员只能在可以查看报名人员的时段内改时间，且不能改到这一时段之后；请联系团干部。",
        "People have signed up. A hub manager moves it only while they see who, and not beyond that time: ask an officer.",
    )


class WrongActivityState(Conflict):
    code = "wrong_activity_state"
    zh, en = "活动当前状态不允许此操作。", "The state of the activity does not allow this."


class ActivityNotOver(Conflict):
    code = "activity_not_over"
    zh, en = "活动尚未结束，不能总结。", "The activity is not over yet."


class ActivityOver(Conflict):
    code = "activity_over"
    zh, en = "活动已经结束。", "The activity is over."


class ActivityCancelled(Conflict):
    code = "activity_cancelled"
    zh, en = "活动已取消。", "The activity has been cancelled."


class ActivityStarted(Conflict):
    code = "activity_started"
    zh, en = "活动已经开始，不能再取消报名；请联系工作人员。", "The activity has started; ask its staff instead."  # fmt: skip


class QuestionsFrozen(Conflict):
    code = "questions_frozen"
    zh, en = "已有人报名，不能再修改报名问题。", "Somebody has signed up; the questions can no longer change."


class AdmissionFrozen(Conflict):
    code = "admission_frozen"
    zh, en = (
        "已有人报名，或抽签报名已经开始，不能再修改名额的分配方式。",
        "Somebody has signed up, or the sign-up of a lottery has opened; the way places are given can no longer change.",
    )


class CapacityBelowTaken(Conflict):
    code = "capacity_below_taken"
    zh, en = (
        "已有 {taken} 人占用名额；减到此数以下将影响最后的 {affected} 人，请先预览变更，再以预览的 ETag 提交。",
        "{taken} places are taken; fewer would affect the last {affected} people. Preview the change, then send it under the preview's ETag.",
    )


class CapacityBelowPresent(Conflict):
    code = "capacity_below_present"
    zh, en = (
        "共 {taken} 人占用名额，其中已签到或已请假的人不能退回候补，名额不能这样减少。",
        "{taken} places are taken, and who has checked in or been excused cannot go back to the queue; there cannot be so few places.",
    )


class PreviewRequired(Conflict):
    code = "preview_required"
    zh, en = (
        "此变更将影响 {affected} 位已报名的人；请先调用 change-preview 查看，再以预览返回的 ETag 作为 If-Match 提交。",
        "This would affect {affected} people who signed up; ask change-preview first, then send its ETag in If-Match.",
    )


class PreviewOutdated(DomainError):
    status = 412
    code = "preview_outdated"
    zh, en = (
        "预览之后情况已变，受影响的人有所不同；未作修改，请重新预览。",
        "Since the preview others have come to be affected; nothing was changed. Preview again.",
    )


class ReopeningTooLate(Conflict):
    code = "reopening_too_late"
    zh, en = (
        "原定开始时间已过，不能恢复；请另建活动。",
        "It was to have started by now and cannot be re-opened; write a new activity.",
    )


class WaitlistBelowWaiting(Conflict):
    code = "waitlist_below_waiting"
    zh, en = (
        "已有 {waiting} 人候补，候补名额不能少于此数；否则将影响最后的 {affected} 人。",
        "{waiting} people are waiting; a shorter queue would affect the last {affected} of them.",
    )


class SignUpNotOpen(Conflict):
    code = "sign_up_not_open"
    zh, en = "报名尚未开始。", "Sign-up has not opened yet."


class SignUpClosed(Conflict):
    code = "sign_up_closed"
    zh, en = "报名已截止。", "Sign-up has closed."


class ActivityFull(Conflict):
    code = "activity_full"
    zh, en = "名额和候补都已满。", "All places and the whole queue are taken."


class PoolFull(Conflict):
    code = "pool_full"
    zh, en = "面向您的名额和候补都已满。", "All places that are for you and the whole queue are taken."


class TooManyApplications(Conflict):
    code = "too_many_applications"
    zh, en = "报名人数已达本活动受理的上限；有人退出后可以再试。", "This activity takes no more applications until somebody withdraws one."  # fmt: skip


class CreditTooLow(Conflict):
    code = "credit_too_low"
    zh, en = (
        "信用分低于门槛，目前只能候补，而候补已满或未开放；活动临近开始时如有空余名额，可以报名。",
        "With too few credit points one can only queue for now, and there is no turn left; places still free shortly before the start are open to all.",
    )


class AgeNotAllowed(Forbidden):
    code = "age_not_allowed"
    zh, en = "活动当日年龄不在要求范围内。", "The age on the day of the activity is outside its limits."


class CountyNotAllowed(Forbidden):
    code = "county_not_allowed"
    zh, en = "本活动只面向指定县（市、区）的青年。", "This activity is for young people of certain counties."


class MembersOnly(Forbidden):
    code = "members_only"
    zh, en = "本活动只面向共青团员。", "This activity is for League members."


class NoPoolForYou(Forbidden):
    code = "no_pool_for_you"
    zh, en = "本活动的各类名额都不面向您。", "None of this activity's pools of places is for you."


class Overlaps(Conflict):
    code = "overlaps"
    zh, en = (
        "您同一时间已报名“{title}”，本活动不允许重叠。",
        "You have a place in “{title}” at the same time, which this activity does not allow.",
    )


class DailyLimitReached(Conflict):
    code = "daily_limit_reached"
    zh, en = "该项目每人每天最多报名 {limit} 场。", "This project allows {limit} sign-ups a person and day."


class WeeklyLimitReached(Conflict):
    code = "weekly_limit_reached"
    zh, en = "该项目每人每周最多报名 {limit} 场。", "This project allows {limit} sign-ups a person and week."


class QueueClosed(Conflict):
    code = "queue_closed"
    zh, en = (
        "名额已满，候补已截止；现场如有空位，可到场登记。",
        "All places are taken and the queue has closed; there may still be places at the door.",
    )


class NoOffer(NotFound):
    code = "no_offer"
    zh, en = "没有为您保留的名额。", "No place is being kept for you."


class OfferExpired(Conflict):
    code = "offer_expired"
    zh, en = (
        "为您保留的名额已过期。您可以重新报名，排在队尾。",
        "The place kept for you has expired. You may sign up again, at the end of the queue.",
    )


class NoSuchSignUp(NotFound):
    code = "no_such_sign_up"
    zh, en = "没有有效的报名记录。", "There is no live sign-up."


class SignUpNotConfirmed(Conflict):
    code = "sign_up_not_confirmed"
    zh, en = "这条报名没有确认的名额。", "This sign-up has no confirmed place."


class AlreadyCheckedIn(Conflict):
    code = "already_checked_in"
    zh, en = "已经签到，不能再作此操作。", "Already checked in."


class CheckInNotOpen(Conflict):
    code = "check_in_not_open"
    zh, en = "现在不是签到时间。", "Check-in is not open now."


class CheckInCodeInvalid(Forbidden):
    code = "check_in_code_invalid"
    zh, en = (
        "签到码不正确或已过期，请扫描现场最新的码。",
        "The check-in code is wrong or has expired; scan the current one.",
    )


class RosterSignatureInvalid(Forbidden):
    code = "roster_signature_invalid"
    zh, en = (
        "名单签名无效，或不属于您和本活动；请重新下载名单后再上传。",
        "The roster's signature is forged, or not of this activity and you; load the roster again, then upload.",
    )


class NotCheckedIn(Conflict):
    code = "not_checked_in"
    zh, en = "请先签到。", "Check in first."


class FeedbackClosed(Conflict):
    code = "feedback_closed"
    zh, en = "评价提交七天后不能再修改。", "Feedback can be changed for seven days only."


class NoFeedback(NotFound):
    code = "no_feedback"
    zh, en = "还没有评价。", "There is no feedback yet."


class NoSuchHoursEntry(NotFound):
    code = "no_such_hours_entry"
    zh, en = "没有这条服务时长记录。", "There is no such entry of service hours."


class HoursAlreadyGiven(Conflict):
    code = "hours_already_given"
    zh, en = "此人在本活动已有服务时长；如有误，请先撤销再补录。", "This person has hours of this activity; reverse them first if they are wrong."  # fmt: skip


class HoursOverlap(Conflict):
    code = "hours_overlap"
    zh, en = (
        "此人在同一时段已有其他活动的服务时长，同一时间不能重复计时。",
        "This person has hours of another activity at the same time; time counts once.",
    )


class HoursNotReversible(Conflict):
    code = "hours_not_reversible"
    zh, en = "这是一条撤销记录，不能再撤销。", "This entry is itself a reversal and cannot be reversed."


class NoHoursToCertify(Conflict):
    code = "no_hours_to_certify"
    zh, en = "这段时间没有可以证明的服务时长。", "There are no service hours to certify in this period."


class TooManyHoursToCertify(Conflict):
    code = "too_many_hours_to_certify"
    zh, en = (
        "一份证明最多列 {max} 项活动，请缩短起止日期后分别开具。",
        "A certificate lists at most {max} activities; ask for shorter periods.",
    )


class NoSuchCertificate(NotFound):
    code = "no_such_certificate"
    zh, en = "没有这份证明，请核对核验码。", "There is no such certificate; check the code."


class CertificateSuperseded(Conflict):
    code = "certificate_superseded"
    zh, en = (
        "证明中有服务时长已被撤销，本证明已失效，请重新开具。",
        "Hours on this certificate were reversed and it is no longer valid; ask for a new one.",
    )


class ExcuseTooLate(Conflict):
    code = "excuse_too_late"
    zh, en = "请假时间已过；如不能参加，仍可取消报名。", "It is too late to be excused; you can still give up your place."  # fmt: skip


class NoSuchCreditEntry(NotFound):
    code = "no_such_credit_entry"
    zh, en = "没有这条信用记录。", "There is no such credit entry."


class NothingToAppeal(Conflict):
    code = "nothing_to_appeal"
    zh, en = "这条记录没有扣分，不需要申诉。", "This entry took no points; there is nothing to appeal against."  # fmt: skip


class AppealTooLate(Conflict):
    code = "appeal_too_late"
    zh, en = "申诉期限已过。", "The time to appeal is over."


class AlreadyAppealed(Conflict):
    code = "already_appealed"
    zh, en = "这条记录已经申诉过。", "There is an appeal against this entry already."


class NoSuchAppeal(NotFound):
    code = "no_such_appeal"
    zh, en = "没有这条申诉。", "There is no such appeal."


class AppealDecided(Conflict):
    code = "appeal_decided"
    zh, en = "这条申诉已有不同的处理结果。", "This appeal has been decided otherwise."


class NoDraw(NotFound):
    code = "no_draw"
    zh, en = "本活动不抽签。", "The places of this activity are not drawn by lot."


class DrawTooEarly(Conflict):
    code = "draw_too_early"
    zh, en = (
        "报名名单尚未封存，或未到抽签时间，还不能抽签。",
        "The entries are not closed yet, or the time of the draw has not come.",
    )


class AlreadyDrawn(Conflict):
    code = "already_drawn"
    zh, en = "已经抽签，结果不能更改，也不能重抽。", "The draw has been held; it is held once and stands."


class SeedLost(Conflict):
    code = "seed_lost"
    zh, en = (
        "封存随机种子的密钥已丢失，或种子与公布的摘要不符，无法抽签；请联系系统管理员。",
        "The key of the sealed seed is gone, or the seed is not the one committed to; there can be no draw. Ask who runs the service.",
    )


class SeedNotRevealed(Conflict):
    code = "seed_not_revealed"
    zh, en = (
        "随机种子在抽签时公布，此前仅公布其摘要。",
        "The seed is revealed at the draw; until then only its digest is shown.",
    )


class NoReview(Conflict):
    code = "no_review"
    zh, en = "本活动的报名不需要审核。", "Sign-ups of this activity are not reviewed."


class AlreadyAdmitted(Conflict):
    code = "already_admitted"
    zh, en = (
        "其中有人已有名额，不能再作不通过处理；如需取消，请取消其报名。",
        "Somebody among them has a place already and cannot be refused any more; cancel the sign-up instead.",
    )
