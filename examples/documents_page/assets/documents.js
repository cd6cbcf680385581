// Times in the reader's own zone, and documents sent from the browser straight into the tenant's bucket. All else works
// without. Texts come from the page, and names are only ever set as text.
"use strict";

const language = document.documentElement.lang;
const shown = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time")) {
  time.textContent = shown.format(new Date(time.dateTime));
}

class Told extends Error {}

async function answerOf(response) {
  // Whoever is not signed in any more is sent to a page, which is no JSON.
  const isJson = (response.headers.get("Content-Type") || "").startsWith("application/json");
  const answer = isJson ? await response.json() : {};
  if (!response.ok || !isJson) throw new Told(answer.error || form.dataset.failed);
  return answer;
}

async function send(file, name) {
  const asked = new URLSearchParams(new FormData(form));
  asked.set("name", name);
  asked.set("size", file.size);
  const accept = { Accept: "application/json" };
  const granted = await answerOf(await fetch(form.action, { method: "POST", body: asked, headers: accept }));
  const body = new FormData();
  for (const [field, value] of Object.entries(granted.fields)) body.append(field, value);
  body.append("file", file); // the last: S3 ignores what is behind it
  await fetch(granted.url, { method: "POST", mode: "no-cors", body, credentials: "omit", referrerPolicy: "no-referrer" });
  // What S3 has answered cannot be read, since its buckets have no CORS rules. The back end sees whether it is there.
  const query = new URLSearchParams({ id: granted.id });
  const arrival = await answerOf(await fetch(`${form.dataset.arrival}?${query}`, { headers: accept }));
  if (arrival.changed === null || arrival.changed === granted.changed) throw new Told(form.dataset.notArrived);
}

function lineFor(name) {
  const line = document.createElement("li");
  const shownName = document.createElement("bdi");
  const said = document.createElement("span");
  shownName.className = "name";
  shownName.textContent = name;
  line.append(shownName, " ", said);
  document.querySelector("#sent").append(line);
  return (state, text) => {
    line.className = state;
    said.textContent = text;
  };
}

async function sendAll(files, folder) {
  // One way of writing each name: the same name in another form would be another document.
  const begins = folder.split("/").filter((part) => part).map((part) => `${part}/`).join("").normalize("NFC");
  for (const file of files) {
    const name = begins + file.name.normalize("NFC");
    const say = lineFor(name);
    say("sending", form.dataset.sending);
    try {
      await send(file, name);
      say("arrived", form.dataset.arrived);
    } catch (error) {
      // Only the browser's own errors of the network and of reading the file are no Told.
      say("problem", error instanceof Told ? error.message : form.dataset.notSent);
    }
  }
}

const form = document.querySelector("#send");
if (form) {
  const files = form.querySelector("#files");
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    await sendAll([...files.files], form.querySelector("#folder").value);
    files.value = "";
    button.disabled = false;
    document.querySelector("#sent-all").hidden = false;
  });
}
