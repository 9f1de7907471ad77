"""Words of training, gate, drift and reproduction: (English, Chinese) by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TRAINING: Final[Mapping[str, tuple[str, str]]] = {
    # -- what a training came to
    "trained.champion": ("Release {version} is champion.", "版本 {version} 已启用。"),
    "trained.challenger": (
        "Release {version} stays a challenger.",
        "版本 {version} 未启用，仅作为候选保留。",
    ),
    "trained.backfill": (
        "Release {version} answers for moments before the champion's data end; {champion} is champion.",
        "版本 {version} 用于在用版本数据截止之前的时点；在用版本仍是 {champion}。",
    ),
    "trained.first_failed": (
        "the first release goes live although a guard failed; look into it before routing is switched on",
        "这是第一个版本，虽有一项检查未通过仍然启用；在开启自动分配之前请先核实",
    ),
    "trained.withdrawn": (
        "a rollback has withdrawn this very release; --promote force brings it back",
        "这个版本曾被回退撤下；用 --promote force 才能重新启用",
    ),
    "trained.unreadable_champion": (
        "the release in charge cannot be read ({why}), so there is nothing to compare with",
        "在用版本无法读取（{why}），因此没有可比对象",
    ),
    "trained.nothing_won": (
        (
            "no routed lead with a won deal is known at as_of, so there is nothing to learn from; "
            "check leads, assignments and deals, or give a later --as-of"
        ),
        "截至该时点，已分配的线索无一成交，无从学习；请检查 leads、assignments 和 deals，或用 --as-of 给出更晚的时点",
    ),
    "trained.routing": ("routing: {mode}", "分配：{mode}"),
    "routing.pairs": (
        "lead x rep interaction was found: each lead has its own best rep",
        "线索与销售之间存在匹配差异，每条线索各有最合适的人",
    ),
    "routing.possible": (
        "reps differ; lead x rep interaction is possible but not proven, and is used as far as it is sure",
        "销售之间有差异；线索与销售的匹配差异有可能但尚未证实，按其可靠程度采用",
    ),
    "routing.reps": (
        "reps differ, but no lead x rep interaction beyond noise was found",
        "销售之间有差异，但未发现超出偶然的线索与销售匹配差异",
    ),
    "routing.lead_only": (
        "no lead x rep interaction and no rep effect worth routing on was found: routing goes by load and fairness",
        "未发现值得据以分配的匹配差异或销售差异；按负荷和公平分配",
    ),
    "trained.effects": (
        (
            "interaction sd {pair:.2f} on the logit (90 % interval {pair_low:.2f} to {pair_high:.2f}, "
            "p = {pair_p:.3f}); rep effect sd {rep:.2f} ({rep_low:.2f} to {rep_high:.2f}, p = {rep_p:.3f})"
        ),
        (
            "匹配差异的标准差（logit）{pair:.2f}（90% 区间 {pair_low:.2f} 至 {pair_high:.2f}，p = {pair_p:.3f}）；"
            "销售差异的标准差 {rep:.2f}（{rep_low:.2f} 至 {rep_high:.2f}，p = {rep_p:.3f}）"
        ),
    ),
    "trained.scores": (
        (
            "later leads: AUC {auc:.3f}, calibration error {ece:.3f} "
            "(a calibrated model stays under {limit:.3f} at this size)"
        ),
        "之后的线索：AUC {auc:.3f}，校准误差 {ece:.3f}（同等数量下，校准良好的模型低于 {limit:.3f}）",
    ),
    "trained.no_scores": (
        "later leads: too few to measure the win probability on",
        "之后的线索太少，无法检验成交概率",
    ),
    "trained.forecast": ("forecast: {choice}", "预测：{choice}"),
    "choice.beats_the_mean": (
        "the forecast uses {method}, which beats the mean of recent months",
        "采用 {method}，优于近几个月的均值",
    ),
    "choice.mean_not_beaten": (
        "the forecast uses the mean of recent months: nothing beat it",
        "采用近几个月的均值，没有方法优于它",
    ),
    "choice.too_few_origins": (
        "the forecast uses the mean of recent months: too few past months to prove anything better",
        "采用近几个月的均值；历史月份太少，无法证明有更好的方法",
    ),
    "trained.left_out": ("  {table}: {n:,} rows were left out: {why}", "  {table}：略去 {n:,} 行：{why}"),
    "trained.gate": ("gate:", "门槛："),
    # -- the gate
    "gate.passed": ("ok   {name}: {told}", "通过　　{name}：{told}"),
    "gate.failed": ("FAIL {name}: {told}", "未通过　{name}：{told}"),
    "check.conversion_loss": ("log loss of win probability", "成交概率的对数损失"),
    "check.forecast_loss": ("pinball loss of the forecast", "预测的分位数损失"),
    "check.segments": ("segments of {of}", "分组比较：{of}"),
    "check.better": ("something is better", "至少一项变好"),
    "check.calibration": ("calibration", "校准"),
    "check.fairness": ("fairness by group", "各群体的公平性"),
    "check.ranks": ("driver ranks", "驱动因素的排序"),
    "check.latency": ("latency", "速度"),
    "check.late": ("nothing peeks", "未使用未来数据"),
    "gate.not_compared": (
        "not compared: {n:,} common cases of {months} months, {rows} cases of {least} months needed",
        "未比较：共同样本 {n:,} 个、{months} 个月，至少需要 {rows} 个、{least} 个月",
    ),
    "gate.compared": (
        (
            "{excess:+.2%} against the champion (one-sided 95 % bound {high:+.2%}), "
            "at most {margin:+.2%} (bound {bound:+.2%}) allowed"
        ),
        "与在用版本相差 {excess:+.2%}（单侧 95% 上界 {high:+.2%}），最多允许 {margin:+.2%}（上界 {bound:+.2%}）",
    ),
    "gate.these_better": ("{names}", "{names}"),
    "gate.newer": ("it has learnt from newer data", "所用的训练数据更新"),
    "gate.nothing_better": (
        "no loss is lower beyond chance, and the champion knows the same data",
        "各项损失的降低均未超出偶然，且在用版本所用数据相同",
    ),
    "gate.segments_worse": ("worse beyond chance: {segments}", "变差且超出偶然：{segments}"),
    "gate.segments_worst": ("worst is {segment}", "最差的是 {segment}"),
    "gate.segments_few": ("none is large enough to compare", "没有足够大的分组可比较"),
    "gate.segment": ("{by} {label} {excess:+.2%}", "{by} {label} {excess:+.2%}"),
    "gate.ece": (
        "expected calibration error {ece:.4f}, at most {limit:.4f}",
        "期望校准误差 {ece:.4f}，上限 {limit:.4f}",
    ),
    "gate.ece_unmeasured": ("not measured: too few later leads", "未测量：之后的线索太少"),
    "gate.fairness": (
        "predicted over actual wins {groups}; allowed {low:.2f} to {high:.2f}, or within chance, or as the champion",
        "预测成交与实际成交之比：{groups}；允许 {low:.2f} 至 {high:.2f}，或属偶然范围，或不劣于在用版本",
    ),
    "gate.group": ("{group} {ratio:.2f}", "{group} {ratio:.2f}"),
    "gate.fairness_unmeasured": (
        "not measured: no group of reps has enough later leads",
        "未测量：没有哪个群体有足够多的后续线索",
    ),
    "gate.ranks": (
        "rank correlation of importance with the champion {correlation:.2f}, at least {limit:.2f}",
        "重要性与在用版本的秩相关系数 {correlation:.2f}，至少 {limit:.2f}",
    ),
    "gate.ranks_uncompared": (
        "not compared: no champion with a panel model of common features",
        "未比较：此前没有含共同特征面板模型的版本",
    ),
    "gate.latency": (
        "200 candidates of a lead in {ms:.0f} ms, at most {limit:.0f} ms",
        "一条线索的 200 位候选人用时 {ms:.0f} 毫秒，上限 {limit:.0f} 毫秒",
    ),
    "gate.latency_unmeasured": ("not measured", "未测量"),
    "gate.late": ("{n} training rows later than as_of", "晚于其时点的训练数据 {n} 行"),
    "by.source": ("source", "来源"),
    "by.tenure": ("tenure", "司龄"),
    "group.under_1_year": ("under 1 year", "不满 1 年"),
    "group.1_to_2_years": ("1 to 2 years", "1 至 2 年"),
    "group.over_2_years": ("over 2 years", "2 年以上"),
    "group.unknown": ("unknown", "未知"),
    "group.team": ("team {team}", "团队 {team}"),
    # -- drift and retraining
    "drift.found": ("Release {release}, looked at {at}: drift was found.", "版本 {release}，检查时点 {at}：发现漂移。"),
    "drift.none": (
        "Release {release}, looked at {at}: no drift in {n} looks.",
        "版本 {release}，检查时点 {at}：{n} 项均无漂移。",
    ),
    "drift.alarm": ("{what}: {change:+.2f}", "{what}：{change:+.2f}"),
    "drift.alarm_p": ("{what}: {change:+.2f} (p = {p:.4f})", "{what}：{change:+.2f}（p = {p:.4f}）"),
    "drift.what": ("{kind} {name}", "{kind}“{name}”"),
    "drift_kind.input": ("input", "线索的列"),
    "drift_kind.missing": ("missing", "缺失值"),
    "drift_kind.unseen": ("unseen", "新取值"),
    "drift_kind.freshness": ("freshness", "距最新一行的天数"),
    "drift_kind.prediction": ("prediction", "预测"),
    "drift_kind.target": ("target", "结果"),
    "drift_kind.calibration": ("calibration", "校准"),
    "drift_kind.age": ("age", "训练数据距今天数"),
    "drift_name.win_probability": ("win_probability", "成交概率"),
    "drift_name.won_within": ("won_within_{days}_days", "移交后 {days} 天内成交的比例"),
    "drift_name.log_amount_won": ("log_amount_won", "成交金额（对数）"),
    "drift_name.won_over_expected": ("won_over_expected", "实际与预计成交之比"),
    "drift_name.release": ("release", "版本"),
    "retrain.asked": ("asked for", "按要求"),
    "retrain.no_release": ("no release answers for this moment", "没有适用于该时点的版本"),
    "retrain.not_needed": ("No drift was found: the release stays.", "未发现漂移，继续使用现有版本。"),
    "retrain.begun": ("Retraining: {why}.", "重新训练：{why}。"),
    "retrain.reason": ("retrain: {why}", "重新训练：{why}"),
    # -- reproduction
    "reproduced.equal": ("Release {release} was rebuilt byte for byte.", "版本 {release} 已逐字节重建。"),
    "reproduced.differs": (
        "Release {release} was rebuilt as {rebuilt}; these parts differ:",
        "版本 {release} 重建后为 {rebuilt}；以下部分不同：",
    ),
    "reproduced.changed": ("What has changed since:", "此后发生的变化："),
    "reproduced.cause": ("{name}: {then} then, {now} now", "{name}：当时 {then}，现在 {now}"),
    "reproduced.nothing": ("none", "无"),
    "reproduced.machine": (
        "Inputs, code and libraries are as they were: look at the machine.",
        "输入、代码和依赖库都与当时相同，请检查机器本身。",
    ),
    "run.no_release": (
        "run {run} did not come to a release, so there is nothing to rebuild",
        "运行 {run} 没有产生版本，无可重建",
    ),
    "run.no_store": (
        "{folder} holds no mlflow.db, so no run is known here",
        "{folder} 中没有 mlflow.db，因此这里没有任何运行记录",
    ),
    "run.unknown": (
        "MLflow knows no training run {run!r}; give a run id or a release",
        "MLflow 中没有训练运行 {run!r}；请给出运行 id 或版本",
    ),
    "run.release_gone": (
        "release {release} is not in {folder} any more, and the rebuilt one differs from it",
        "{folder} 中已没有版本 {release}，而重建的版本与它不同",
    ),
    # -- own
    "own.probabilities": (
        "{path}.predict: must give {n} finite probabilities from 0 to 1",
        "{path}.predict：应返回 {n} 个 0 至 1 之间的有限概率",
    ),
    "own.no_class": (
        "own model {path!r}: no such class here; write module:Class ({why})",
        "自有模型 {path!r}：找不到这个类；请写成 module:Class（{why}）",
    ),
    "own.lacks": ("own model {path!r}: lacks {methods}", "自有模型 {path!r}：缺少 {methods}"),
    "own.amounts": ("{path}.predict: must give {n} finite amounts", "{path}.predict：应返回 {n} 个有限金额"),
    # -- pilot
    "pilot.few_reps": (
        "a desk's own spread needs at least 3 reps with a whole month; {n} were given",
        "估计团队自身的业绩波动，至少需要 3 名有完整月份的销售；现有 {n} 名",
    ),
    "pilot.few_months": (
        "too few neighbouring months of one rep ({n}) to say how months hang together",
        "同一销售的相邻月份太少（{n} 对），无法判断各月之间的关联",
    ),
    "pilot.arms": (
        "a pilot needs two reps an arm and a month: {first} first, {later} later, {months} months",
        "试点的两组各须至少两名销售，且至少为期一个月：先行 {first} 名，后行 {later} 名，{months} 个月",
    ),
    "pilot.few_eligible": (
        "a pilot needs at least {least} reps who have not had it; there are {n}",
        "试点至少需要 {least} 名尚未采用该措施的销售；现有 {n} 名",
    ),
    "pilot.no_month": (
        "no rep has a whole month on record, so the desk's spread is not known",
        "所有销售都还没有完整的月份记录，无法得知团队的业绩波动",
    ),
    "pilot.not_over": (
        "no month of the pilot is over yet; its first is {month}",
        "试点还没有一个月结束；第一个月是 {month}",
    ),
    "pilot.impossible": ("--lever {lever}: no pilot can be planned: {why}", "--lever {lever}：无法安排试点：{why}"),
    "pilot.unknown_rep": (
        "{path}: rep_id {rep!r} is not in reps ({n} such)",
        "{path}：reps 中没有 rep_id {rep!r}（共 {n} 个）",
    ),
    "pilot.nothing_yet": (
        "{path}: nothing to read yet: no month from {month} on is over with two reps in each arm",
        "{path}：尚无结果：自 {month} 起，还没有哪个月已经结束且两组各有至少两名销售",
    ),
    "pilot.list_unread": ("{path}: the pilot's list cannot be read: {why}", "{path}：试点名单无法读取：{why}"),
    "pilot.list_no_text": ("{path}: the pilot's list is not UTF-8 text", "{path}：试点名单不是 UTF-8 文本"),
    "pilot.list_columns": (
        "{path}: a pilot's list needs a row a rep and the columns {columns}",
        "{path}：试点名单应每名销售一行，并含有这些列：{columns}",
    ),
    "pilot.list_arm": (
        "{path}: row {row}, arm {arm!r}: write {first} or {later}",
        "{path}：第 {row} 行，arm {arm!r}：请写 {first} 或 {later}",
    ),
    "pilot.list_rep": (
        "{path}: row {row}, rep_id {rep!r}: each rep once, none empty",
        "{path}：第 {row} 行，rep_id {rep!r}：每名销售只能出现一次，且不能为空",
    ),
    "pilot.list_same": (
        "{path}: {column} must be the same in every row, found {values}",
        "{path}：{column} 在各行中应相同，实为 {values}",
    ),
    "pilot.list_month": (
        "{path}: first_month {month!r}: write YYYY-MM",
        "{path}：first_month {month!r}：请写成 YYYY-MM",
    ),
    "pilot.list_months": (
        "{path}: months {months!r}: write a whole number from 1 to 60",
        "{path}：months {months!r}：请写 1 至 60 的整数",
    ),
    # -- replay
    "replay.too_thin": (
        "before {day} there are too few routed leads with a won deal to train on; replay fewer weeks with --weeks",
        "{day} 之前，已分配且成交的线索太少，不足以训练；请用 --weeks 减少回放的周数",
    ),
    "replay.too_few": (
        "only {n} routed leads came in the {weeks} weeks before {day}",
        "{day} 之前的 {weeks} 周内只有 {n} 条已分配的线索",
    ),
    # -- report
    "report.no_model": (
        "the release holds no contribution model, so there are no drivers to explain; train anew",
        "该版本不含业绩模型，因此没有驱动因素可以解释；请重新训练",
    ),
    "report.nobody": ("month {month}: no sales rep was there at its start", "月份 {month}：月初没有在岗的销售"),
    "report.not_ended": (
        "month {month} has not ended as of {day}; the last whole month is {last}",
        "截至 {day}，月份 {month} 尚未结束；最近的完整月份是 {last}",
    ),
    # -- trained
    "trained.no_month": (
        "panel: no rep has a complete month to learn from; give data of at least two months",
        "面板模型：所有销售都还没有完整的月份可供学习；请提供至少两个月的数据",
    ),
    "trained.no_origin": (
        "backtest: no origin has a complete month after it; give earlier origins or more data",
        "回测：各起点之后都没有完整的月份；请给出更早的起点或更多数据",
    ),
    "trained.no_tuning": (
        "tuning: too few complete months; train without --trials, or give more data",
        "调参：完整的月份太少；请不带 --trials 训练，或提供更多数据",
    ),
    # -- inputs
    "inputs.rep_twice": ("forecast inputs: a rep_id stands twice in reps", "预测输入：reps 中有重复的 rep_id"),
    "inputs.lacks": ("forecast inputs: {table} lacks {columns}", "预测输入：{table} 缺少 {columns}"),
    "inputs.panel_lacks": ("panel: lacks {columns}", "面板：缺少 {columns}"),
}
