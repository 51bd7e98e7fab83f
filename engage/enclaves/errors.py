"""Refusals about enclave branches and how people join them."""

from __future__ import annotations

from engage.core.errors import Conflict, Forbidden, NotFound


class NoSuchEnclaveBranch(NotFound):
    code = "no_such_enclave_branch"
    zh, en = "没有这个驻外团组织，或它已撤销。", "There is no such enclave branch, or it has been dissolved."


class EnclaveBranchDissolved(Conflict):
    code = "enclave_branch_dissolved"
    zh, en = "这个驻外团组织已撤销。", "This enclave branch has been dissolved."


class NoSuchEnclaveApplication(NotFound):
    code = "no_such_enclave_application"
    zh, en = "没有这份申请，或您不能查看。", "There is no such application, or you may not see it."


class NotFromHomeCounty(Forbidden):
    code = "not_from_home_county"
    zh, en = (
        "这个组织面向家乡在{county}的青年；如家乡填写有误，请先修改个人资料。",
        "This branch is for people from {county}; correct your home town if it is wrong.",
    )


class ApplicationExists(Conflict):
    code = "application_exists"
    zh, en = (
        "您已提交过申请，请等待审核。",
        "You have already applied; please wait for the decision.",
    )


class AlreadyParticipating(Conflict):
    code = "already_participating"
    zh, en = "您已加入这个组织。", "You have already joined this branch."


class AlreadyDecided(Conflict):
    code = "already_decided"
    zh, en = (
        "这份申请已审核或已撤回，请刷新查看。",
        "This application has been decided or withdrawn; read it again.",
    )


class OwnApplication(Forbidden):
    code = "own_application"
    zh, en = (
        "不能审核自己的申请，请由其他负责人办理。",
        "You cannot decide your own application; somebody else must.",
    )
