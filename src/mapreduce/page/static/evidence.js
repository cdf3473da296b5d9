// Failures with their traceback and the commands that help, counters, and the specification.

function showFailures(model) {
  const groups = model.failures, counts = model.status;
  const total = ((counts.maps || {}).attempts_failed || 0) + ((counts.reduces || {}).attempts_failed || 0);
  if (!total) { fill(byId("failures"), element("p", { class: "quiet" }, "No attempt has failed.")); return; }
  const parts = [];
  const kept = model.failuresKept, causes = plural(groups.length, "cause");
  parts.push(element("p", { class: "quiet" }, kept < total
    ? `${countText(total)} attempts failed; of the latest ${countText(kept)} there is more to say: ${causes}.`
    : `${plural(total, "attempt")} failed, for ${causes}.`));
  for (const group of groups) parts.push(failureCard(model, group));
  fill(byId("failures"), ...parts);
}

function failureCard(model, group) {
  const newest = group.newest, failure = newest.failure, task = `${newest.id.kind}-${newest.id.index}`, source = model.sourceWord();
  const seen = group.count === 1 ? `once, at ${clockText(group.last_at)}` : `${countText(group.count)} times, first at ${clockText(group.first_at)}, last at ${clockText(group.last_at)}`;
  const tasks = group.tasks.length > 6 ? `${group.tasks.slice(0, 6).join(", ")} and more` : group.tasks.join(", ");
  const card = element("article", { class: "failure" }, element("h3", {}, `✕ ${group.title}`),
    element("p", { class: "quiet" }, `${group.failure_class}, ${seen}, in ${tasks}; newest in attempt ${newest.id.attempt}${newest.worker ? ` on ${newest.worker}` : ""}`));
  if (failure.record) card.append(element("p", {}, "At record ", element("code", {}, failure.record)));
  const message = failure.message.trim();
  if (message.includes("\n") || message.length > group.title.length) card.append(element("pre", { class: "code", tabIndex: 0 }, message));
  if (failure.traceback) card.append(element("pre", { class: "code traceback", tabIndex: 0, "aria-label": "Traceback from the user's first frame" }, failure.traceback.trim()));
  card.append(command(`mr logs ${source} --task ${task}`), command(`mr replay ${source} ${task}`));
  return card;
}

function showCounters(model) {
  const rows = [], status = model.status;
  for (const [name, value] of Object.entries(status.counters || {}).sort()) rows.push(cells([[name], [countText(value), "number"], [""]]));
  for (const [name, value] of Object.entries(status.warnings || {}).sort()) rows.push(cells([[name], [countText(value), "number"], ["warning"]]));
  fill(byId("counters"), rows.length ? table([["counter"], ["value", "number"], [""]], rows) : element("p", { class: "quiet" }, "The job counts nothing of its own."));
}

function showSpecification(model) {
  say(byId("spec"), model.spec);
  const commands = [command(`mr report ${model.sourceWord()}`), command(`mr trace ${model.sourceWord()} > trace.json`)];
  const facts = `Job ${model.status.job}, epoch ${model.epoch}, log sequence ${model.sequence}, mapreduce-operator ${model.version}.`;
  const words = model.isLive() ? [facts, " The same page as a file, and the attempts for Perfetto:"] : [facts, model.isFile ? " Made from the log; nothing is fetched." : ""];
  fill(byId("foot"), ...words, ...(model.isFile ? commands.slice(1) : commands));
}
