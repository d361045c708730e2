// The frame is as high as its page, and is scrolled to when it is new.
window.addEventListener("message", (event) => {
  const frame = element.querySelector("iframe");
  const height = Number(event.data && event.data.facesHeight);
  if (frame && event.source === frame.contentWindow && height > 0) frame.style.height = `${Math.ceil(height)}px`;
});
watch("value", () => {
  // On a phone, the results are far below the button.
  const results = document.getElementById("results");
  if (results.getBoundingClientRect().top > window.innerHeight * 0.6) results.scrollIntoView();
});
